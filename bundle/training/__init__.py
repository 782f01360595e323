"""Training: the stages, their data, and what a training leaves."""

from bundle.training.feature_store import FeatureStore
from bundle.training.keep_best import KeepBest
from bundle.training.memory_reuse import reuse_memory
from bundle.training.progress import StageProgress
from bundle.training.run_folder import forget_run, run_folder
from bundle.training.save_model import save_model
from bundle.training.stage_features import StageFeatures, collate_stage
from bundle.training.stage_matching import StageMatcher
from bundle.training.stage_over_ranks import over_ranks
from bundle.training.stage_run import StageRun
from bundle.training.stages import GlobalStage, LocalStage, PaperLocalStage, Stage
from bundle.training.whitening_fit import WhiteningFit

__all__ = [
    "FeatureStore",
    "GlobalStage",
    "KeepBest",
    "LocalStage",
    "PaperLocalStage",
    "Stage",
    "StageFeatures",
    "StageMatcher",
    "StageProgress",
    "StageRun",
    "WhiteningFit",
    "collate_stage",
    "forget_run",
    "over_ranks",
    "reuse_memory",
    "run_folder",
    "save_model",
]
