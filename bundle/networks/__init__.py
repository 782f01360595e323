"""Frozen encoders, trainable decoders, and the network that holds both."""

from bundle.networks.network import NetworkSettings, OneShotNetwork
