"""Which images a run works on, and how they reach the engine."""

from bundle.data.cases import Cases, collect_cases, collect_labelled_cases
from bundle.data.readable import Failures, ReadableImages

__all__ = ["Cases", "Failures", "ReadableImages", "collect_cases", "collect_labelled_cases"]
