"""A model is a network, the template it matches to, and how it matches: built from settings, or from a checkpoint."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bundle.encoders import EncoderSettings, XFeatEncoder, create_encoder
from bundle.errors import CheckpointError, ConfigError
from bundle.matching.settings import MatchingSettings
from bundle.model.checkpoint import LearnedLandmarks, missing_model, read_checkpoint
from bundle.model.paper_inferer import PaperInferer
from bundle.model.posed_inferer import PosedInferer
from bundle.model.posterior_inferer import PosteriorInferer
from bundle.networks import NetworkSettings, OneShotNetwork
from bundle.networks.whitening import total_covariance
from bundle.records.radiograph import Template
from bundle.records.validation import validate

#: Without warps the whitening is fitted to the template's own features, and only half-way: measured on cephalograms.
ZERO_SHOT_POWER = 0.25
ZERO_SHOT_SHRINKAGE = 0.05


#: The strategies of matching by name.
STRATEGIES = {"posterior": PosteriorInferer, "paper": PaperInferer}


@dataclass(frozen=True)
class Model:
    """Everything that inference needs.

    Attributes:
        network: the network with its decoders.
        template: the annotated image.
        matching: the settings of the matching.
        trained: whether anything was trained; if not, raw features are matched (zero-shot).
        learned: what was learned from the annotated templates; None where only decoders were trained, if anything.
    """

    network: OneShotNetwork
    template: Template
    matching: MatchingSettings
    trained: bool
    learned: LearnedLandmarks | None = None

    def inferer(
        self, crop_memory_gb: float | None = None, pose: str | None = None, other_kinds: str = "report"
    ) -> PosedInferer:
        """What finds the landmarks with this model's network in images that may lie in another way than the template.

        Args:
            crop_memory_gb: memory for the crops that go through the network together, in GB; None lets the device
                decide.
            pose: ``"auto"`` or ``"as_is"``, see :class:`bundle.model.PosedInferer`; None for that of the matching.
            other_kinds: what becomes of images of another kind, see there.

        Raises:
            ConfigError: when something was learned that the strategy cannot use, or a setting is out of range.
        """
        strategy = STRATEGIES[self.matching.strategy]
        inferer = strategy(self.template, self.matching, crop_memory_gb, self.learned)
        encoder = self.network.encoder if isinstance(self.network.encoder, XFeatEncoder) else None
        return PosedInferer(inferer, self.template, pose or self.matching.pose, other_kinds, encoder)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that this model's results depend on, the same in every process that opens it.

        What a zero-shot model fits to its template follows from template and settings; its last bits may differ from
        one machine to the next, so it is left out.
        """
        settings = {
            "network": self.network.settings.as_dict(),
            "matching": self.matching.as_dict(),
            "precision": self.network.precision,
        }
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
        digest.update(self.network.encoder.digest.encode())
        for template in self.template.all:
            digest.update(b"" if template.pixels is None else template.pixels.tobytes())
            digest.update(template.landmarks.points.tobytes())
            digest.update(repr((template.landmarks.names, template.pixel_size)).encode())
        if self.trained:
            learned = {} if self.learned is None else self.learned.tensors()
            for name, tensor in sorted({**self.network.state_dict(), **learned}.items()):
                digest.update(name.encode())
                digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def build_network(
    settings: NetworkSettings,
    *,
    encoder_weights: str = "hub",
    device: torch.device | str = "cpu",
    seed: int = 0,
    precision: str = "float32",
) -> OneShotNetwork:
    """Build a network whose decoders hold random numbers drawn from ``seed``.

    Raises:
        ConfigError: when the device is none that PyTorch knows and this machine has.
        EncoderError: when the encoder's weights cannot be had.
    """
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError):
        raise ConfigError(
            f"device is {device!r}, which PyTorch does not know or this machine does not have: give cpu, cuda or "
            "cuda:0, or leave it out."
        ) from None
    with torch.random.fork_rng(devices=[]):
        encoder = create_encoder(**settings.encoder.model_dump(exclude_unset=True), weights=encoder_weights)
        torch.manual_seed(seed)
        network = OneShotNetwork(settings, encoder, precision)
    return network.to(device).eval()


def zero_shot_model(
    template: Template,
    *,
    network: Mapping[str, Any] | None = None,
    matching: Mapping[str, Any] | None = None,
    encoder_weights: str = "hub",
    device: torch.device | str = "cpu",
    precision: str = "float32",
) -> Model:
    """A model without trained decoders: raw features of the frozen encoder are matched.

    Args:
        template: the annotated image.
        network: settings that differ from the defaults of :class:`bundle.networks.NetworkSettings`.
        matching: settings that differ from the defaults of :class:`bundle.matching.settings.MatchingSettings`.
        encoder_weights: ``"hub"``, ``"random"``, or a local file or folder.
        device: where the network shall be.
        precision: ``"float32"`` or ``"bfloat16"``.
    """
    settings = validate(NetworkSettings, network or {}, "network")
    settings = settings.model_copy(update={"global_channels": 0, "local_channels": 0})
    built = build_network(settings, encoder_weights=encoder_weights, device=device, precision=precision)
    fit_whitening(built, template)
    return Model(built, template, validate(MatchingSettings, matching or {}, "matching"), trained=False)


def fit_whitening(network: OneShotNetwork, template: Template) -> None:
    """Fit a network's whitening to the templates' own features: a power of the mean covariance of their positions."""
    if network.whitening is None:
        return
    device = next(network.parameters()).device
    covariances = []
    for one in template.all:
        with torch.no_grad():
            levels = network.encode_global(torch.from_numpy(one.image)[None, None].to(device))
        covariances.append([total_covariance(level) for level in levels])
    means = [torch.stack(levels).mean(dim=0) for levels in zip(*covariances)]
    network.whitening.fit(means, ZERO_SHOT_POWER, ZERO_SHOT_SHRINKAGE)


def trained_model(
    path: str | Path,
    *,
    network: Mapping[str, Any] | None = None,
    matching: Mapping[str, Any] | None = None,
    encoder_weights: str = "hub",
    device: torch.device | str = "cpu",
    precision: str = "float32",
) -> Model:
    """The model of a checkpoint.

    Args:
        path: the checkpoint that a training wrote.
        network: of these settings only the encoder counts: it must be that of the checkpoint, whose decoders fit no
            other. All else about the network is as it was trained.
        matching: settings of the matching that shall replace those of the checkpoint.
        encoder_weights: ``"hub"``, ``"random"``, or a local file or folder.
        device: where the network shall be.
        precision: ``"float32"`` or ``"bfloat16"``.

    Raises:
        CheckpointError: when the file is missing, damaged, or made for another encoder.
        EncoderError: when the encoder's weights cannot be had.
    """
    checkpoint = read_checkpoint(path)
    settings = validate(NetworkSettings, checkpoint.network, f"the network of {path}")
    found = checkpoint.network["encoder"]
    expected = dict(network or {}).get("encoder")
    if (
        expected is not None
        and validate(EncoderSettings, expected, "encoder").resolved() != settings.encoder.resolved()
    ):
        raise CheckpointError(
            f"{path} was trained with the encoder {_describe(found)}, but the configuration asks for "
            f"{_describe(expected)}: train again with this encoder, or leave the encoder out of the configuration."
        )
    built = build_network(settings, encoder_weights=encoder_weights, device=device, precision=precision)
    if built.encoder.digest != checkpoint.encoder_digest:
        raise CheckpointError(
            f"{path} was trained with other weights of the encoder {_describe(found)} (digest "
            f"{checkpoint.encoder_digest[:12]}, now {built.encoder.digest[:12]}): give the same weights with "
            "--encoder_weights, or train again."
        )
    try:
        built.load_state_dict(checkpoint.decoders)
    except (RuntimeError, AttributeError) as error:  # weights that do not fit; names that are no text
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{path} does not fit its own settings ({reason}): train again.") from error
    scales = len(built.global_sizes(checkpoint.template.size))
    if checkpoint.learned is not None and len(checkpoint.learned.kernels) != scales:
        raise CheckpointError(
            f"{path} has learned kernels for {len(checkpoint.learned.kernels)} scales, but its network has {scales}: "
            "train again."
        )
    merged = validate(MatchingSettings, {**checkpoint.matching, **(matching or {})}, "matching")
    return Model(built, checkpoint.template, merged, trained=True, learned=checkpoint.learned)


def open_model(
    *,
    model_path: str | Path | list[str] | None,
    template: Template | None,
    network: Mapping[str, Any] | None = None,
    matching: Mapping[str, Any] | None = None,
    encoder_weights: str = "hub",
    device: torch.device | str = "cpu",
    precision: str = "float32",
) -> Model:
    """The model of a run: that of the checkpoint or, with a template and no checkpoint, zero-shot.

    Without either, it is a network of the settings, whose template says what is missing (``Template.absent``).

    Raises:
        CheckpointError: when there are both and the checkpoint was trained on another template; see also
            :func:`trained_model`.
        ConfigError: when there are several checkpoints.
    """
    if isinstance(model_path, list):
        raise ConfigError(
            f"model_path names several models, {', '.join(model_path)}: give one, or sort the images among them with "
            "the overlay configs/several_models.json after configs/inference.json."
        )
    how = {"encoder_weights": encoder_weights, "device": device, "precision": precision}
    settings = {"network": network, "matching": matching, **how}
    if template is None and (model_path is None or not Path(model_path).exists()):
        built = build_network(validate(NetworkSettings, network or {}, "network"), **how)  # type: ignore[arg-type]
        absent = Template.absent(missing_model(model_path or "null"))
        return Model(built, absent, validate(MatchingSettings, matching or {}, "matching"), trained=False)
    if model_path is None:
        return zero_shot_model(template, **settings)  # type: ignore[arg-type]
    model = trained_model(model_path, **settings)  # type: ignore[arg-type]
    if template is not None and not _same_template(template, model.template):
        raise CheckpointError(
            f"{model_path} was trained on {_names(model.template)}, which is not the template {_names(template)} with "
            "these landmarks: leave out --template_image and --template_landmarks to use the model, or --model_path to "
            "match without training."
        )
    return model


def _same_template(one: Template, other: Template) -> bool:
    """Whether two templates have the same images, as far as the other one has any, with the same landmarks."""
    return len(one.all) == len(other.all) and all(
        first.landmarks.names == second.landmarks.names
        and np.array_equal(first.landmarks.points, second.landmarks.points)
        and first.size == second.size
        # A checkpoint rounds to 16 bits, or was written without its images.
        and (second.pixels is None or np.allclose(first.image, second.pixels, atol=1e-4))
        for first, second in zip(one.all, other.all)
    )


def _names(template: Template) -> str:
    return ", ".join(one.name for one in template.all)


def _describe(encoder: Mapping[str, Any]) -> str:
    extra = ", ".join(f"{key} {value}" for key, value in encoder.items() if key != "name")
    return f"{encoder.get('name')}" + (f" ({extra})" if extra else "")
