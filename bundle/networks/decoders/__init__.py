"""The two light decoders that are trained on the template."""

from bundle.networks.decoders.global_decoder import GlobalDecoder
from bundle.networks.decoders.local_decoder import LocalDecoder

__all__ = ["GlobalDecoder", "LocalDecoder"]
