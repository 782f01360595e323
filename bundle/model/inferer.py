"""From an image to its landmarks: what both strategies share."""

import contextlib
import ctypes
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor

from bundle.errors import ConfigError
from bundle.matching.descriptors import DescriptorPyramid
from bundle.matching.paper_matcher import PaperMatcher
from bundle.matching.posterior_matcher import PosteriorMatcher
from bundle.matching.settings import MatchingSettings
from bundle.networks import OneShotNetwork
from bundle.records.prediction import PREDICTION_COLUMNS
from bundle.records.radiograph import Template

#: GB for crops on a CPU, where they gain nothing from each other's company and a file is as good as memory; on a GPU a
#: share of its free memory.
_CPU_GB, _GPU_SHARE = 0.1, 0.25


class OneShotInferer(Inferer, ABC):
    """Find the template's landmarks in images; the network describes, the subclass matches.

    Args:
        template: the annotated image.
        settings: the settings of the matching.
        crop_memory_gb: memory for the crops that go through the network together, in GB; None lets the device decide
            (see :func:`crops_at_a_time`).

    Attributes:
        matcher: what matches the descriptors; the subclass sets it.

    Raises:
        ConfigError: when that memory is not positive.
    """

    matcher: PaperMatcher | PosteriorMatcher

    def __init__(self, template: Template, settings: MatchingSettings, crop_memory_gb: float | None = None) -> None:
        super().__init__()
        self.template = template
        self.settings = settings
        if crop_memory_gb is not None and not crop_memory_gb > 0:
            raise ConfigError(f"crop_memory_gb is {crop_memory_gb}, expected a positive number of GB, or null.")
        self.crop_memory_gb = crop_memory_gb
        self._known: tuple[Any, Any, Any] | None = None

    def __call__(self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Tensor:
        """Find the landmarks.

        Args:
            inputs: images of shape (B, 1, H, W), 0 to 1, bone bright.
            network: the :class:`bundle.networks.OneShotNetwork` with the decoders to use.
            args: not used; part of MONAI's interface.
            kwargs: not used.

        Returns:
            tensor of shape (B, N, 7), columns ``PREDICTION_COLUMNS``; ``x`` and ``y`` in pixels
            of the input, 0-based, pixel centres at integers.
        """
        # A plain tensor: MetaTensor would carry its meta data through every operation of the matching.
        assert isinstance(network, OneShotNetwork)
        images = inputs.as_tensor() if hasattr(inputs, "as_tensor") else inputs
        with torch.no_grad():
            known = self.known_template(network, images.device)
            return torch.stack([self.find(image[None], network, known) for image in images])

    def view(self, image: Tensor, network: OneShotNetwork) -> DescriptorPyramid:
        """Descriptors of one whole image of shape (1, 1, H, W), as this strategy's matcher sees them."""
        return self.matcher.view(describe_whole(image, network), (image.shape[-2], image.shape[-1]))

    @abstractmethod
    def describe_template(self, network: OneShotNetwork, device: torch.device) -> Any:
        """Everything about the template that does not depend on the query."""

    @abstractmethod
    def find(self, image: Tensor, network: OneShotNetwork, known: Any) -> Tensor:
        """The landmarks of one image of shape (1, 1, H, W): (N, 7)."""

    def known_template(self, network: OneShotNetwork, device: torch.device) -> Any:
        """The template's description, computed again only when the network, its decoders or the device have changed."""
        decoders = list(network.state_dict(keep_vars=True).values())
        state = (device, id(network), tuple((id(value), value._version) for value in decoders))
        if self._known is None or self._known[0] != state:
            # The network and its decoders are kept, so that nothing else can come by their identity.
            self._known = (state, (network, decoders), self.describe_template(network, device))
        return self._known[2]


def describe_whole(image: Tensor, network: OneShotNetwork) -> list[Tensor]:
    """The network's descriptors of one whole image of shape (1, 1, H, W), not normalised: one (C, h, w) per scale."""
    sizes = network.global_sizes((image.shape[-2], image.shape[-1]))
    return [level[0] for level in network.decode_global(network.encode_global(image), sizes)]


def as_columns(points: Tensor, **others: Tensor) -> Tensor:
    """What was found of N landmarks, points (N, 2) and the other columns by name, (N,) each: (N, 7)."""
    named = {"x": points[:, 0], "y": points[:, 1], **others}
    return torch.stack([named[name] for name in PREDICTION_COLUMNS], dim=1)


def template_tensors(template: Template, device: torch.device) -> tuple[Tensor, Tensor]:
    """A template's image, (1, 1, H, W), and its landmarks, (N, 2), pixels ``(x, y)``."""
    image = torch.from_numpy(template.image)[None, None].to(device)
    return image, torch.from_numpy(template.landmarks.points).to(device, image.dtype)


def memory_budget_gb(device: torch.device, memory_gb: float | None = None) -> float:
    """Memory for crops in GB.

    Args:
        device: where the network is.
        memory_gb: what the user gave; None for a little on a CPU and a quarter of what is free on a GPU.
    """
    if memory_gb is not None:
        return memory_gb
    return torch.cuda.mem_get_info(device)[0] / 1e9 * _GPU_SHARE if device.type == "cuda" else _CPU_GB


def crops_at_a_time(numbers: int, device: torch.device, memory_gb: float | None = None) -> int:
    """The largest batch of crops that fits into a budget of memory; at least one.

    Args:
        numbers: how many numbers of single precision one crop takes up on its way through the network.
        device: where the network is.
        memory_gb: see :func:`memory_budget_gb`.
    """
    return max(1, int(memory_budget_gb(device, memory_gb) * 1e9 / (4 * numbers)))


def reuse_memory() -> None:
    """Tell the C library to keep what is freed: every image, and every step of a training, needs the same maps again.

    By default glibc gets each of them from the system anew, which clears it page by page; that was a fifth of a
    training step on a CPU, and a tenth of an inference. The process keeps its largest size until it ends.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # macOS, musl, Windows
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-4, 0)  # M_MMAP_MAX: nothing
        mallopt(-1, -1)  # M_TRIM_THRESHOLD: beyond every size; the largest number is 2 GB, less than a step frees
