"""Losses that train the decoders."""

from bundle.training.losses.contrastive_similarity import ContrastiveSimilarityLoss
from bundle.training.losses.distance_aware_similarity import DistanceAwareSimilarityLoss
from bundle.training.losses.one_hot_similarity import OneHotSimilarityLoss

__all__ = ["ContrastiveSimilarityLoss", "DistanceAwareSimilarityLoss", "OneHotSimilarityLoss"]
