"""Training: filters from annotated images, the paper's decoders, and what a training leaves."""

from bundle.training.filter_training import FilterTraining
from bundle.training.landmark_trainer import LandmarkTrainer
from bundle.training.leave_one_out import TemplateExamples
from bundle.training.process import fix_seed
from bundle.training.run_folder import forget_run, run_folder
from bundle.training.save_model import save_model
from bundle.training.stage_trainer import StageTrainer
from bundle.training.stages import GlobalStage, LocalStage

__all__ = [
    "FilterTraining",
    "GlobalStage",
    "LandmarkTrainer",
    "LocalStage",
    "StageTrainer",
    "TemplateExamples",
    "fix_seed",
    "forget_run",
    "run_folder",
    "save_model",
]
