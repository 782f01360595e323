"""Training: filters from annotated images, the paper's decoders, and what a training leaves."""

from bundle.training.feature_store import FeatureStore
from bundle.training.filter_training import FilterTraining
from bundle.training.landmark_trainer import LandmarkTrainer
from bundle.training.leave_one_out import TemplateExamples
from bundle.training.memory_reuse import reuse_memory
from bundle.training.progress import StageProgress
from bundle.training.run_folder import forget_run, run_folder
from bundle.training.save_model import save_model
from bundle.training.stage_features import StageFeatures, collate_stage
from bundle.training.stage_matching import StageMatcher
from bundle.training.stage_over_ranks import over_ranks
from bundle.training.stage_run import StageRun
from bundle.training.stages import GlobalStage, LocalStage, Stage

__all__ = [
    "FeatureStore",
    "FilterTraining",
    "GlobalStage",
    "LandmarkTrainer",
    "LocalStage",
    "Stage",
    "StageFeatures",
    "StageMatcher",
    "StageProgress",
    "StageRun",
    "TemplateExamples",
    "collate_stage",
    "forget_run",
    "over_ranks",
    "reuse_memory",
    "run_folder",
    "save_model",
]
