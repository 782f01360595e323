"""Which images a run works on, and which of them have true landmarks."""

from __future__ import annotations

import json
import reprlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bundle.io.digest import file_digest
from bundle.io.folders import find_images, image_ids
from bundle.io.landmark_files import RowIndex, read_landmark_table
from bundle.records.errors import ConfigError, ImageError, LandmarkError
from bundle.records.template import Template

#: The largest data list that is read, in bytes: some million images.
_MAX_LIST_BYTES = 512 * 1024 * 1024


@dataclass
class Cases:
    """The images of a run.

    Attributes:
        items: data list for :class:`monai.data.Dataset`: dictionaries with ``image`` (path) and ``image_id``, and,
            where the truth is known, ``label`` ((N, 2) float64, ``(x, y)`` in pixels, NaN where a landmark is missing).
        without_truth: ids of images that the table of true landmarks does not have.
        without_image: names in the table of true landmarks that no image has.
        template_copies: ids of images left out because they are a template themselves.
    """

    items: list[dict[str, Any]]
    without_truth: list[str] = field(default_factory=list)
    without_image: list[str] = field(default_factory=list)
    template_copies: list[str] = field(default_factory=list)


def collect_cases(source: str | Path | None, template: Template | None = None) -> Cases:
    """Find the images of a run.

    Args:
        source: a folder, searched with its subfolders; a DICOMDIR; one image file; or a data list, a ``.json`` file
            with a list of paths or of ``{"image": path}``, relative to the file's own folder; such an entry may have
            the ``pixel_spacing`` of its image, one number or ``(x, y)`` in mm, and ``flip``, whether to mirror it.
        template: the annotated image, where a source that holds nothing else is to be refused.

    Raises:
        ImageError: when there is no image, or none but the template.
        ConfigError: when there is no source, or the data list is none.
    """
    if source is None:
        raise ConfigError(
            "there are no images: name their folder, as in `python -m monai.bundle run inference --config_file "
            "configs/inference.json --model_path models/model.pt --dataset_dir my_images`."
        )
    source = Path(str(source))  # a folder such as 2024 comes from the command line as a number
    if source.suffix.lower() == ".json":
        entries, root = _read_data_list(source), source.parent
    else:
        entries, root = [{"image": path} for path in find_images(source)], source if source.is_dir() else source.parent
    ids = image_ids([entry["image"] for entry in entries], root)
    digests = _digests(template) if template is not None else set()
    if len(entries) <= len(digests) and all(_is_one_of(entry["image"], digests) for entry in entries):
        raise ImageError(f"{source} holds nothing but the template: put other images there, or name their folder.")
    return Cases([{**entry, "image": str(entry["image"]), "image_id": name} for entry, name in zip(entries, ids)])


def collect_labelled_cases(
    source: str | Path | None,
    landmarks: str | Path | None,
    template: Template,
) -> Cases:
    """Find the images of a run that have true landmarks, leaving the templates themselves out.

    Args:
        source: as in :func:`collect_cases`.
        landmarks: table of the true landmarks.
        template: the annotated image, whose landmarks give names and order; files equal to its own are left out, for
            they would be too easy.

    Raises:
        ImageError: when there is no image.
        LandmarkError: when there is no table, it cannot be read, has other landmarks than the template, or fits no
            image.
    """
    if landmarks is None:
        raise LandmarkError(
            "there are no true landmarks: name their table, as in `python -m monai.bundle run evaluation --config_file "
            "configs/evaluate.json --model_path models/model.pt --dataset_dir my_images --landmarks truth.csv`."
        )
    cases = collect_cases(source, template)
    table = read_landmark_table(landmarks)
    index, used = RowIndex(table), set()
    digests = _digests(template)
    labelled = []
    for item in cases.items:
        path, name = Path(item["image"]), item["image_id"]
        key = index.find(path, name)
        if key is None:
            cases.without_truth.append(name)
            continue
        used.add(key)
        if digests and _is_one_of(path, digests):
            cases.template_copies.append(name)
            continue
        truth = table[key].in_order_of(template.landmarks.names, f"{landmarks}: image {key}")
        labelled.append({**item, "label": truth.points})
    cases.without_image = [key for key in table if key not in used]
    if not labelled:
        raise LandmarkError(
            f"{landmarks} has the landmarks of {len(table)} images, but of none in {source} (other than the template "
            f"{template.name}): the first column must hold the images' file names, with or without ending."
        )
    cases.items = labelled
    return cases


def _digests(template: Template) -> set[str]:
    return {one.digest for one in template.all if one.digest is not None}


def _is_one_of(path: Path, digests: set[str]) -> bool:
    try:
        return file_digest(path) in digests
    except OSError:  # the reader will say what is wrong with the file
        return False


def _read_data_list(file: Path) -> list[dict[str, Any]]:
    """The entries of a data list: ``image``, a path, and ``pixel_spacing`` and ``flip`` where they are given."""
    try:
        if file.stat().st_size > _MAX_LIST_BYTES:
            raise ConfigError(
                f"the data list {file} has more than {_MAX_LIST_BYTES // 1024**2} MB: check the file, or split it."
            )
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ImageError(f"dataset_dir is {file}: {error.strerror}; give a folder, an image or a data list.") from None
    except ConfigError:
        raise
    except (ValueError, RecursionError):
        raise ConfigError(f"the data list {file} is no valid JSON: expected a list of image paths.") from None
    listed = content.get("testing", content.get("images")) if isinstance(content, dict) else content
    if not isinstance(listed, list) or not listed:
        raise ConfigError(
            f"the data list {file} holds no list of images: expected ['a.png', ...] or [{{'image': ...}}]."
        )
    entries = []
    for entry in listed:
        given = entry if isinstance(entry, dict) else {"image": entry}
        name = given.get("image")
        if not isinstance(name, str) or not name or "\0" in name:
            shown = reprlib.repr(entry)
            raise ConfigError(f"the data list {file} has the entry {shown}: expected a path or {{'image': path}}.")
        own = {key: given[key] for key in ("pixel_spacing", "flip") if given.get(key) is not None}
        entries.append({"image": file.parent / name, **own})
    return entries
