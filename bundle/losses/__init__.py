"""Losses that train the decoders."""

from bundle.losses.contrastive_similarity import ContrastiveSimilarityLoss
from bundle.losses.distance_aware_similarity import DistanceAwareSimilarityLoss
from bundle.losses.one_hot_similarity import OneHotSimilarityLoss

__all__ = ["ContrastiveSimilarityLoss", "DistanceAwareSimilarityLoss", "OneHotSimilarityLoss"]
