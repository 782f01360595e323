"""Losses that train the decoders."""

from bundle.losses.distance_aware_similarity import DistanceAwareSimilarityLoss

__all__ = ["DistanceAwareSimilarityLoss"]
