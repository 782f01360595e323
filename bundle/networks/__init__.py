"""Frozen encoders, trainable decoders, and the network that holds both."""

from bundle.networks.network import OneShotNetwork
from bundle.networks.settings import NetworkSettings

__all__ = ["NetworkSettings", "OneShotNetwork"]
