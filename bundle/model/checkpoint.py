"""The one file that holds a model: what was learned, template, settings. It loads with ``weights_only=True``."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import ignite.distributed as idist
import numpy as np
import torch
from torch import Tensor

from bundle import __version__
from bundle.encoders.weight_files import load_weights_only
from bundle.errors import CheckpointError
from bundle.matching.posterior_matcher import KnownLandmarks
from bundle.matching.settings import MatchingSettings
from bundle.matching.shape_prior import ShapePrior
from bundle.networks import OneShotNetwork
from bundle.ranks import is_first
from bundle.records.landmarks import LandmarkSet
from bundle.records.radiograph import Template
from bundle.writers.files import atomic_file


@dataclass(frozen=True)
class LearnedLandmarks:
    """The landmarks of K templates as inference needs them.

    Attributes:
        layouts: (K, N, 2), float64, the templates' landmarks ``(x, y)`` in units of each image's long side.
        kernels: for each level the descriptors around the landmarks, averaged over the templates, (N, C, patch, patch).
        filters: learned kernels of the fine stage, whose correlations add up to the score: for each level and, where
            there are crops, last for these (N, C, patch, patch).
        crop_matrix: (C, C), whitening of the crops' features; None without crops.
        crop_kernels: (N, C, patch, patch), whitened features of crops around the landmarks, averaged; None likewise.
    """

    layouts: Tensor
    kernels: tuple[Tensor, ...]
    filters: tuple[Tensor, ...]
    crop_matrix: Tensor | None = None
    crop_kernels: Tensor | None = None

    def __post_init__(self) -> None:
        """Refuse parts that do not belong together, before anything is computed with them.

        Raises:
            ValueError: when they do not.
        """
        kernels = self.kernels if self.crop_kernels is None else (*self.kernels, self.crop_kernels)
        shapes = [tuple(kernel.shape) for kernel in kernels]
        patches = [(self.layouts.shape[1], shape[1], shape[-1], shape[-1]) for shape in shapes]
        matrix = None if self.crop_kernels is None else (shapes[-1][1],) * 2
        if (
            self.layouts.dtype is not torch.float64
            or tuple(self.layouts.shape[2:]) != (2,)
            or not self.kernels
            or shapes != patches
            or [tuple(one.shape) for one in self.filters] != shapes
            or (None if self.crop_matrix is None else tuple(self.crop_matrix.shape)) != matrix
            or not all(bool(torch.isfinite(one).all()) for one in self.tensors().values())
        ):
            raise ValueError("the parts of what it learned do not belong together, or are not finite")

    def known(self, device: torch.device) -> KnownLandmarks:
        """As the matching takes them; the layouts' mean stands for all of them in the coarse stage."""
        shape = ShapePrior.fit(list(self.layouts))
        return KnownLandmarks(
            [shape.mean.to(device)],
            [kernel.to(device) for kernel in self.kernels],
            None if self.crop_matrix is None else self.crop_matrix.to(device),
            None if self.crop_kernels is None else self.crop_kernels.to(device),
            [one.to(device) for one in self.filters],
            shape,
        )

    def tensors(self) -> dict[str, Tensor]:
        """All parts by name, as a checkpoint holds them."""
        found: dict[str, Tensor] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                found[field.name] = value.detach().cpu()
            elif value is not None:
                found |= {f"{field.name}.{index}": one.detach().cpu() for index, one in enumerate(value)}
        return found

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Any]) -> Self:
        """What :meth:`tensors` gave.

        Raises:
            KeyError: when a part is missing.
            ValueError: when parts do not belong together.
        """
        if not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in tensors.items()):
            raise ValueError("what it learned are no named tensors")

        def several(name: str) -> tuple[Tensor, ...]:
            count = sum(key.startswith(f"{name}.") for key in tensors)
            return tuple(tensors[f"{name}.{index}"] for index in range(count))

        return cls(
            tensors["layouts"],
            several("kernels"),
            several("filters"),
            tensors.get("crop_matrix"),
            tensors.get("crop_kernels"),
        )


#: A model with learned landmarks needs a reader that knows of them; any other is written as before.
FORMAT, LEARNED_FORMAT = "one-shot-landmarks/checkpoint/1", "one-shot-landmarks/checkpoint/2"

#: What the record of an imported checkpoint says; one that says anything else has its channels in another order.
IMPORTED = "FM-OSD, channels by head"

#: The largest template that is read back, in pixels.
MAX_TEMPLATE_PIXELS = 1_000_000_000

#: Grey values are stored as 16-bit integers, shifted so that they fit a signed type.
_GREY_LEVELS = 65535
_GREY_SHIFT = 32768


@dataclass(frozen=True)
class Checkpoint:
    """Content of a checkpoint.

    Attributes:
        decoders: state of the trained decoders; the key ``model`` in the file, as MONAI's handlers expect.
        template: the annotated image.
        network: settings of the network (see :class:`bundle.networks.NetworkSettings`).
        matching: settings of the matching (see :class:`bundle.matching.settings.MatchingSettings`).
        encoder_digest: SHA-256 of the frozen encoder's weights, which the file does not hold.
        training: how the model was trained, for the record.
        learned: what was learned from the annotated templates; None where only decoders were trained.
    """

    decoders: Mapping[str, Tensor]
    template: Template
    network: Mapping[str, Any]
    matching: Mapping[str, Any]
    encoder_digest: str
    training: Mapping[str, Any]
    learned: LearnedLandmarks | None = None


def write_checkpoint(path: str | Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint in one step: a reader finds the old file or the new one, never half of one.

    Raises:
        BundleError: when the file cannot be written.
    """
    path = Path(path)
    content = {
        "format": FORMAT if checkpoint.learned is None else LEARNED_FORMAT,
        "model": {name: value.detach().cpu() for name, value in checkpoint.decoders.items()},
        "template": {
            **_stored(checkpoint.template),
            "others": [_stored(other) for other in checkpoint.template.others],
        },
        "network": dict(checkpoint.network),
        "matching": dict(checkpoint.matching),
        "encoder_digest": checkpoint.encoder_digest,
        "training": dict(checkpoint.training),
    }
    if checkpoint.learned is not None:
        content["learned"] = checkpoint.learned.tensors()
    with atomic_file(path, binary=True) as file:
        torch.save(content, file)
    return path


def save_model(
    path: str | Path,
    network: OneShotNetwork,
    template: Template,
    matching: MatchingSettings,
    record: Mapping[str, Any],
    learned: LearnedLandmarks | None = None,
    keep_images: bool = True,
) -> None:
    """Write the checkpoint and say so; rank 0 does it for all.

    Args:
        path: the file.
        network: the network.
        template: the annotated image.
        matching: settings of the matching that inference shall use.
        record: how the model was trained.
        learned: what was learned from the templates, if anything.
        keep_images: whether the file shall hold the templates' images, which only matching back, reports and exports
            use where something was learned.

    Raises:
        CheckpointError: when the file cannot be written.
    """
    if not is_first():
        return
    checkpoint = Checkpoint(
        decoders=network.state_dict(),
        template=template if keep_images else template.without_pixels(),
        # In full: a checkpoint must mean the same encoder when a short name or a default has come to mean another.
        network={**network.settings.as_dict(), "encoder": network.settings.encoder.resolved()},
        matching=matching.as_dict(),
        encoder_digest=network.encoder.digest,
        training={**record, "ranks": idist.get_world_size(), "version": __version__},
        learned=learned,
    )
    written = write_checkpoint(path, checkpoint)
    print(f"model written to {written} ({written.stat().st_size / 1e6:.1f} MB)")


def _stored(template: Template) -> dict[str, Any]:
    """One annotated image as values that a checkpoint can hold."""
    pixels = None
    if template.pixels is not None:
        grey = np.round(template.pixels.astype(np.float64) * _GREY_LEVELS) - _GREY_SHIFT
        pixels = torch.from_numpy(grey.astype(np.int16))
    return {
        "pixels": pixels,
        "size": list(template.size),
        "points": torch.from_numpy(template.landmarks.points),
        "names": list(template.landmarks.names),
        "spacing": None if template.spacing is None else [float(value) for value in template.spacing],
        "aspect": float(template.aspect),
        "name": template.name,
        "digest": template.digest,
    }


def _restored(stored: Mapping[str, Any]) -> Template:
    """One annotated image from what :func:`_stored` made of it; others only where the checkpoint has any."""
    pixels = None
    if stored["pixels"] is not None:
        grey = stored["pixels"].numpy()
        if grey.dtype != np.int16 or grey.ndim != 2 or grey.size > MAX_TEMPLATE_PIXELS:
            raise ValueError(f"its template has pixels of shape {grey.shape} and type {grey.dtype}")
        pixels = ((grey.astype(np.float64) + _GREY_SHIFT) / _GREY_LEVELS).astype(np.float32)
    texts = (*stored["names"], stored["name"], "" if stored["digest"] is None else stored["digest"])
    if not isinstance(stored["names"], list) or not all(isinstance(text, str) for text in texts):
        raise ValueError("the names of its template and its landmarks are no text")
    return Template(
        pixels,
        LandmarkSet(tuple(stored["names"]), stored["points"].numpy()),
        None if stored["spacing"] is None else (float(stored["spacing"][0]), float(stored["spacing"][1])),
        stored["name"],
        stored["digest"],
        tuple(_restored(other) for other in stored.get("others", ())),
        float(stored.get("aspect", 1.0)),  # version 0.2.0 took all pixels for square
        (0, 0) if pixels is not None else (int(stored["size"][0]), int(stored["size"][1])),
    )


def missing_model(path: str | Path) -> str:
    """What is said where there is no checkpoint."""
    return (
        f"there is no trained model at {path}: run training first, give --model_path, or give --template_image and "
        "--template_landmarks to match without training."
    )


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint; nothing in it is executed.

    Raises:
        CheckpointError: when the file is missing, damaged, no checkpoint of this project, or one that an earlier
            version imported wrongly.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(missing_model(path))
    try:
        content = load_weights_only(path)
    except CheckpointError as error:
        raise CheckpointError(f"{path} is not opened, {error}: train again.") from error
    except Exception as error:  # a damaged file can make the unpickler raise anything
        raise CheckpointError(f"{path} is no checkpoint, or a damaged one: train again.") from error
    if not isinstance(content, dict) or content.get("format") not in (FORMAT, LEARNED_FORMAT):
        raise CheckpointError(
            f"{path} is not of the format {LEARNED_FORMAT}: it was not written by this project's training."
        )
    try:
        if content["training"].get("imported", IMPORTED) != IMPORTED:
            raise CheckpointError(
                f"{path} was imported from FM-OSD's public code by an earlier version, which took its channels in the "
                "wrong order: import the two files again with scripts/import_fmosd_checkpoint.py."
            )
        learned = LearnedLandmarks.from_tensors(content["learned"]) if content["format"] == LEARNED_FORMAT else None
        template = _restored(content["template"])
        if template.pixels is None and learned is None:
            raise ValueError("its template has no pixels")
        if learned is not None and learned.layouts.shape[1] != len(template.landmarks):
            raise ValueError(f"it learned {learned.layouts.shape[1]} of {len(template.landmarks)} landmarks")
        return Checkpoint(
            dict(content["model"]),
            template,
            {**content["network"], "encoder": dict(content["network"]["encoder"])},
            dict(content["matching"]),
            str(content["encoder_digest"]),
            dict(content["training"]),
            learned,
        )
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise CheckpointError(f"{path} lacks a part that a checkpoint must have ({error}): train again.") from error
