"""The paper's strategy, step by step (sections 2.1 and 2.2)."""

import contextlib
import ctypes
import tempfile
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bundle.errors import ConfigError
from bundle.matching.bidirectional import Matches
from bundle.matching.descriptors import DescriptorPyramid
from bundle.matching.paper_matcher import PaperMatcher, confidence, fuse
from bundle.matching.settings import MatchingSettings
from bundle.model.checkpoint import LearnedLandmarks
from bundle.model.inferer import (
    OneShotInferer,
    as_columns,
    crops_at_a_time,
    describe_whole,
    memory_budget_gb,
    template_tensors,
)
from bundle.networks import OneShotNetwork
from bundle.networks.crops import clipped_windows
from bundle.records.radiograph import Template

#: Full-size maps of one crop that are in memory at the same time: upsampled, padded, decoded, context, fused, and one
#: for all that is smaller.
MAPS_OF_A_CROP = 6


class Region(NamedTuple):
    """A crop around one point of an image.

    Attributes:
        features: (C, h, w), fused features of length one.
        origin: (2,), pixel ``(x, y)`` of the image at the crop's first pixel.
    """

    features: Tensor
    origin: Tensor


class _Known(NamedTuple):
    """The template as the matching needs it."""

    landmarks: Tensor  # (N, 2), pixels (x, y)
    view: DescriptorPyramid
    regions: dict[int, Region]  # by landmark; empty without a local decoder


class PaperInferer(OneShotInferer):
    """Coarse-to-fine matching with bidirectional matching.

    Args:
        template: the annotated image.
        settings: the settings of the matching.
        crop_memory_gb: see :class:`OneShotInferer`.
        learned: has to be None: what is learned for the strategy ``posterior`` is of no use here.

    Raises:
        ConfigError: when there is more than one template, or something was learned.
    """

    matcher: PaperMatcher

    def __init__(
        self,
        template: Template,
        settings: MatchingSettings,
        crop_memory_gb: float | None = None,
        learned: LearnedLandmarks | None = None,
    ) -> None:
        super().__init__(template, settings, crop_memory_gb)
        if learned is not None:
            raise ConfigError("matching.strategy is 'paper', but this model was trained for 'posterior': leave it out.")
        if template.others:
            raise ConfigError(
                f"the strategy paper matches one template, but {len(template.all)} were given: give one, or set "
                "matching.strategy to posterior."
            )
        self.matcher = PaperMatcher(settings)

    def describe_template(self, network: OneShotNetwork, device: torch.device) -> _Known:
        """Its landmarks, its global features and the region around each landmark."""
        image, landmarks = template_tensors(self.template, device)
        levels = describe_whole(image, network)
        view = self.matcher.view(levels, self.template.size)
        budget = memory_budget_gb(device, self.crop_memory_gb)
        return _Known(landmarks, view, keep_regions(self._regions(image, landmarks, levels[0], network), budget))

    def find(self, image: Tensor, network: OneShotNetwork, known: _Known) -> Tensor:
        """Coarse points, and fine ones within the regions around them."""
        levels, size = describe_whole(image, network), (image.shape[-2], image.shape[-1])
        matches = self.matcher.coarse(known.view, known.landmarks, self.matcher.view(levels, size))
        if known.regions:
            # Each region is matched as soon as it is decoded: those of the query are never all in memory.
            found = {}
            for index, region in self._regions(image, matches.points, levels[0], network):
                features, origin = known.regions[index]
                there = features.to(image.device)
                found[index] = self.matcher.fine(there, origin, known.landmarks[index], *region)
                del region  # while the next one is decoded
            matches = Matches(*(torch.cat(parts) for parts in zip(*(found[index] for index in sorted(found)))))
        return as_columns(
            matches.points,
            similarity=matches.similarity,
            back_match_error=matches.back_match_error,
            spread=torch.zeros_like(matches.similarity),  # a maximum has no width
            confidence=confidence(matches.similarity, matches.back_match_error / max(self.template.size)),
            expected_error=torch.full_like(matches.similarity, torch.nan),  # the paper calibrates nothing
        )

    def _regions(
        self, image: Tensor, centres: Tensor, global_map: Tensor, network: OneShotNetwork
    ) -> Iterator[tuple[int, Region]]:
        """The regions around points with the points' numbers; nothing without a local decoder.

        Crops of equal size, all but the few at the border, go through the network together.
        """
        if network.local_decoder is None:
            return
        hand_back_freed_memory(image.device)  # what the descriptors of the whole image took
        windows = clipped_windows(image[0], centres, network.settings.local_window)
        by_size: dict[tuple[int, int], list[int]] = {}
        for index, window in enumerate(windows):
            by_size.setdefault((window.crops.shape[-2], window.crops.shape[-1]), []).append(index)
        for size, indices in by_size.items():
            numbers = MAPS_OF_A_CROP * network.settings.local_channels * size[0] * size[1]
            batch = crops_at_a_time(numbers, image.device, self.crop_memory_gb)
            for start in range(0, len(indices), batch):
                together = indices[start : start + batch]
                crops = torch.cat([windows[index].crops for index in together])
                origins = torch.cat([windows[index].origins for index in together])
                local = network.decode_local(network.encode_local(crops), size)
                fused = fuse(local, global_map, origins, (image.shape[-2], image.shape[-1]))
                del local  # each of these maps takes 51 MB a crop in the paper's preset
                F.normalize(fused, dim=1, out=fused)
                yield from zip(together, map(Region, fused, origins))
                del fused


def hand_back_freed_memory(device: torch.device) -> None:
    """Tell the C library to give the system what was freed; on a GPU nothing is done.

    The encoder takes and frees many tensors of some megabytes, which glibc keeps for the next of their kind. The
    decoders' maps are larger than what it keeps, so without this the peak of the memory is the sum of both.
    """
    if device.type == "cpu":
        with contextlib.suppress(AttributeError, OSError, TypeError):  # macOS, musl, Windows
            ctypes.CDLL(None).malloc_trim(0)


def keep_regions(regions: Iterable[tuple[int, Region]], memory_gb: float) -> dict[int, Region]:
    """Regions by number, on their device or mapped to temporary files.

    One region of the paper's preset is a map of 256 x 224 x 224 numbers, 51 MB, and a landmark needs its own. The first
    ones stay in memory; where the next would exceed the budget, it and all later ones are mapped to temporary files,
    which the system removes with the process. Reading one back costs a small part of decoding a crop.

    Args:
        regions: the regions with their numbers.
        memory_gb: budget in GB.
    """
    found, left = {}, memory_gb * 1e9
    for index, region in regions:
        left -= region.features.nbytes
        found[index] = region if left >= 0 else Region(_mapped(region.features), region.origin)
        del region  # while the next one is made
    return found


def _mapped(features: Tensor) -> Tensor:
    """The same numbers in a file, (C, h, w), which only become memory where they are read; channels last."""
    values = features.permute(1, 2, 0).cpu().contiguous().numpy()
    with tempfile.TemporaryFile(prefix="one-shot-landmarks-") as file:
        values.tofile(file)
        file.flush()
        return torch.from_numpy(np.memmap(file, values.dtype, "c", shape=values.shape)).permute(2, 0, 1)
