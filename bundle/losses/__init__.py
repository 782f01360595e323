"""Losses that train the decoders."""

from bundle.losses.distance_aware_similarity import DistanceAwareSimilarityLoss
from bundle.losses.similarity_cross_entropy import SimilarityCrossEntropyLoss

__all__ = ["DistanceAwareSimilarityLoss", "SimilarityCrossEntropyLoss"]
