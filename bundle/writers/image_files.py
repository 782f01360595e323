"""The files that are written for each image: which there are, and what stands in them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bundle.errors import ConfigError
from bundle.io.landmark_files.structured_report_file import LandmarkCode
from bundle.records.prediction import LandmarkPrediction
from bundle.writers.overlay import overlay_png
from bundle.writers.result_json import result_json
from bundle.writers.slicer_markups import markups_json

#: The ending of each writer's file of an image; :func:`bundle.records.names.safe_image_id` keeps the names apart.
ENDINGS = {"json": ".json", "markups": ".mrk.json", "overlay": ".png", "sr": ".sr.dcm"}

#: The writer of the one file of a whole run (see :mod:`bundle.writers.run_files`).
COCO = "coco"

#: A prediction and the image's pixels, (H, W), 0 to 1, to the content of a file.
ImageFile = Callable[[LandmarkPrediction, np.ndarray], bytes]


def writer_names(setting: Any) -> tuple[str, ...]:
    """The setting ``writers``, one word or a list of them.

    Raises:
        ConfigError: when a writer is unknown or named twice.
    """
    names = setting.replace(",", " ").split() if isinstance(setting, str) else setting
    known = (*ENDINGS, COCO)
    if not isinstance(names, Sequence) or any(name not in known for name in names) or len(set(names)) < len(names):
        raise ConfigError(f"writers is {setting!r}, expected different names from {', '.join(known)}: correct it.")
    return tuple(names)


def image_files(
    writers: Sequence[str],
    landmark_codes: Mapping[str, LandmarkCode] | None = None,
    include_identifiers: bool = False,
    model: str = "",
) -> dict[str, ImageFile]:
    """What makes the files of an image, by the name of the writer.

    Args:
        writers: their names; that of a whole run's file is passed over.
        landmark_codes: codes of the landmarks' anatomy by name, for structured reports.
        include_identifiers: whether these take over patient and examination.
        model: what the model is known by, also for these.

    Raises:
        ConfigError: when structured reports are wanted and highdicom is not installed.
    """
    files: dict[str, ImageFile] = {
        "json": lambda prediction, _: result_json(prediction).encode(),
        "markups": lambda prediction, _: markups_json(prediction).encode(),
        "overlay": overlay_png,
    }
    if "sr" in writers:
        try:
            import highdicom  # noqa: F401  # takes a second, as what follows does
        except ImportError as error:
            raise ConfigError(
                "the writer 'sr' needs the package highdicom, which is not installed: pip install -r "
                "requirements-sr.txt, or leave 'sr' out of writers."
            ) from error
        from bundle.writers.structured_report import StructuredReports

        report = StructuredReports(landmark_codes, include_identifiers, model)
        files["sr"] = lambda prediction, _: report(prediction)
    return {name: files[name] for name in writers if name in files}
