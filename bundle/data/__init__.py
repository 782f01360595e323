"""Which images a run works on, how they reach the engine, and warps of the template."""

from bundle.data.cases import Cases, beside_template, collect_cases, with_truth
from bundle.data.configuration import run_fingerprint
from bundle.data.dry_run import DryRun
from bundle.data.journal import Journal
from bundle.data.load_radiograph import LoadRadiograph, LoadRadiographd
from bundle.data.millimetres import PointsInMillimetresd, ReferenceLength, read_reference_length
from bundle.data.readable import Failures, ReadableImages
from bundle.data.result_folder import ResultFolder
from bundle.data.warps import RandOneScaleAffined, WarpedTemplate

__all__ = [
    "Cases",
    "DryRun",
    "Failures",
    "Journal",
    "LoadRadiograph",
    "LoadRadiographd",
    "PointsInMillimetresd",
    "RandOneScaleAffined",
    "ReadableImages",
    "ReferenceLength",
    "ResultFolder",
    "WarpedTemplate",
    "beside_template",
    "collect_cases",
    "read_reference_length",
    "run_fingerprint",
    "with_truth",
]
