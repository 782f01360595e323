"""The data set of a reproduction: a data list that ``scripts/prepare_dataset.py`` wrote."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundle.errors import ConfigError

#: The overlay of ``configs/`` that holds the paper's settings for a data set.
OVERLAYS = ("head", "hand")


@dataclass(frozen=True)
class ReproductionData:
    """What the cells are run on.

    Attributes:
        name: name of the data set.
        overlay: ``"head"`` or ``"hand"``: the paper's settings.
        split: the images that are measured.
        template: image file of the template.
        truth: table of true landmarks.
        entries: the images of the split, as the data list has them, with absolute paths.
    """

    name: str
    overlay: str
    split: str
    template: Path
    truth: Path
    entries: list[dict[str, Any]]


def read_data(file: Path, split: str | None, template: str | None) -> ReproductionData:
    """Read a data list.

    Args:
        file: ``dataset.json`` of a prepared data set.
        split: which images are measured; None takes ``testing`` where there is one, else ``training``.
        template: id of the template image; None takes the one that the data list names.

    Raises:
        ConfigError: when the file is no such list, or lacks split or template.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        splits = {name: content[name] for name in content["splits"]}
        truth = file.parent / content["landmarks"]
        overlay = content["overlay"]
    except OSError as error:
        raise ConfigError(f"--dataset {file} cannot be read ({error.strerror}): give the dataset.json.") from None
    except (ValueError, KeyError, TypeError):
        raise ConfigError(
            f"--dataset {file} is no prepared data set: make one with scripts/prepare_dataset.py and give its "
            "dataset.json."
        ) from None
    if overlay not in OVERLAYS:
        raise ConfigError(
            f"--dataset {file} has the overlay {overlay!r}, but the paper has settings for {' and '.join(OVERLAYS)} "
            "only: prepare the data set as isbi2015 or hand."
        )
    split = split or ("testing" if splits.get("testing") else "training")
    if not splits.get(split):
        raise ConfigError(f"--split is {split!r}, but {file} has the splits {', '.join(splits)}: choose one of them.")
    entries = {name: [_absolute(file, entry) for entry in listed] for name, listed in splits.items()}
    wanted = template or content.get("template")
    images = {str(entry["image_id"]): entry["image"] for listed in entries.values() for entry in listed}
    if wanted not in images:
        raise ConfigError(f"--template is {wanted!r}, but {file} has no image of this id: choose one of its images.")
    return ReproductionData(str(content["name"]), overlay, split, Path(images[wanted]), truth, entries[split])


def _absolute(file: Path, entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "image": str((file.parent / entry["image"]).resolve())}


def write_images(data: ReproductionData, path: Path) -> Path:
    """Write the images of the split as the data list that the evaluation reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data.entries, indent=4) + "\n", encoding="utf-8")
    return path
