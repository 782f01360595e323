"""Training: filters from annotated images, the paper's decoders, and what a training leaves."""

from bundle.training.decoder_training import GlobalStage, LocalStage, StageTrainer
from bundle.training.filter_training import FilterTraining
from bundle.training.landmark_examples import TemplateExamples
from bundle.training.run_folder import fix_seed, forget_run, run_folder
