"""Which images a run works on, which of them have true landmarks, and the folder of their results."""

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bundle.errors import ConfigError, ImageError, LandmarkError, a_few, one_line
from bundle.io.folders import image_ids, search_folder
from bundle.io.landmark_files import RowIndex, read_landmark_table
from bundle.io.landmark_files.checks import read_text
from bundle.io.overwriting import file_digest, refuse_to_overwrite
from bundle.io.radiographs import image_kind
from bundle.ranks import is_first
from bundle.records.radiograph import Template
from bundle.records.validation import parse_json, shown
from bundle.writers.files import atomic_file
from bundle.writers.image_files import ENDINGS, writer_names

#: The largest data list that is read, in bytes: some million images.
_MAX_LIST_BYTES = 512 * 1024 * 1024

#: Fingerprints of all files that runs have written into the folder, in the form of ``sha256sum``.
CHECKSUMS = "checksums.sha256"


class ResultFolder:
    """The folder of the results of a run.

    Args:
        path: the folder; it need not exist.
        inputs: the files and folders that the run reads beside its images; None, and lists of them, are allowed.
        tables: the files that the run writes once, with whether it does; in order.
        writers: which files it writes for each image, see :func:`bundle.writers.image_files.writer_names`.

    Raises:
        ConfigError: when a writer is unknown or named twice.
    """

    def __init__(
        self,
        path: str | Path,
        inputs: Sequence[Any] = (),
        tables: Mapping[str, Any] | None = None,
        writers: Any = (),
    ) -> None:
        self.path = Path(str(path))  # a folder such as 2024 comes from the command line as a number
        self.inputs = tuple(inputs)
        self.tables = tuple(name for name, wanted in (tables or {}).items() if wanted)
        self.endings = tuple(ENDINGS[name] for name in writer_names(writers) if name in ENDINGS)

    def files_of(self, image_id: str) -> list[Path]:
        """The files of one image."""
        return [self.path / f"{image_id}{ending}" for ending in self.endings]

    def refuse_inputs(self, ids: Iterable[str], images: Iterable[str | Path]) -> None:
        """Refuse a run that would write over what it reads (see :func:`bundle.io.overwriting.refuse_to_overwrite`).

        Args:
            ids: the ids of the images of the run.
            images: the files that it reads for them.

        Raises:
            ConfigError: naming the first such file.
        """
        outputs = [self.path / table for table in (*self.tables, CHECKSUMS)]
        outputs += [file for image_id in ids for file in self.files_of(image_id)]
        refuse_to_overwrite(outputs, [*self.inputs, *images])

    def digest(self, name: str) -> str:
        """SHA-256 of a file of the folder; empty where there is none."""
        return file_digest(self.path / name) if (self.path / name).is_file() else ""

    def read_checksums(self) -> dict[str, str]:
        """The fingerprints that the last complete run left, by the name of the file."""
        path = self.path / CHECKSUMS
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
        found = [re.fullmatch(r"([0-9a-f]{64})  (.+)", line) for line in lines]
        return {match[2]: match[1] for match in found if match}

    def write_checksums(self, files: Mapping[str, str]) -> None:
        """Note fingerprints of files beside those that earlier runs have noted; an empty one is of no file.

        Raises:
            BundleError: when the system refuses to write.
        """
        sums = {**self.read_checksums(), **files}
        with atomic_file(self.path / CHECKSUMS) as file:
            file.writelines(f"{digest}  {name}\n" for name, digest in sorted(sums.items()) if digest)


@dataclass
class Cases:
    """The images of a run.

    Attributes:
        items: data list for :class:`monai.data.Dataset`: dictionaries with ``image`` (path) and ``image_id``, and,
            where the truth is known, ``label`` ((N, 2) float64, ``(x, y)`` in pixels, NaN where a landmark is missing).
        without_truth: ids of images that the table of true landmarks does not have.
        without_image: names in the table of true landmarks that no image has.
        template_copies: ids of images left out because they are a template themselves.
        left_out: by the reason, the files of the folder that are no images of the run.
        source: the folder, the data list or the image that they come from.
        missing: what was not given, so that there are no images; empty where there are some.
    """

    items: list[dict[str, Any]]
    without_truth: list[str] = field(default_factory=list)
    without_image: list[str] = field(default_factory=list)
    template_copies: list[str] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    source: Path = Path()
    missing: str = ""

    def require(self) -> None:
        """Refuse to begin a run without images.

        Raises:
            ConfigError: saying what was not given.
        """
        if self.missing:
            raise ConfigError(self.missing)

    @property
    def root(self) -> Path:
        """The folder that names of images start from."""
        return self.source if self.source.is_dir() else self.source.parent

    @property
    def inputs(self) -> list[str | Path]:
        """All files that the run reads for its images: a data list, and the images."""
        return [*([self.source] if self.source.is_file() else []), *(item["image"] for item in self.items)]

    def name_of(self, image: str | Path) -> str:
        """The path of an image from the root on, as it is written on every system: no two images have the same."""
        try:
            return Path(os.path.relpath(image, self.root)).as_posix()
        except ValueError:  # another drive
            return Path(image).as_posix()


def collect_cases(source: str | Path | None, results: ResultFolder | None = None) -> Cases:
    """Find the images of a run; the first process says which files of a folder are left out.

    Args:
        source: a folder, searched with its subfolders; a DICOMDIR; one image file; or a data list, a ``.json`` file
            with a list of paths or of ``{"image": path}``, relative to the file's own folder; such an entry may have
            the ``pixel_spacing`` of its image, one number or ``(x, y)`` in mm, and ``flip``, whether to mirror it.
        results: where the run writes to: what is there is no image of the run, and no image may be written over.

    Raises:
        ImageError: when there is no image.
        ConfigError: when the data list is none, or results would be written over what is read.
    """
    if source is None:
        return Cases(
            [],
            missing="there are no images: name their folder, as in `python -m monai.bundle run inference --config_file "
            "configs/inference.json --model_path models/model.pt --dataset_dir my_images`.",
        )
    cases = Cases([], source=Path(str(source)))  # a folder such as 2024 comes from the command line as a number
    if cases.source.suffix.lower() == ".json":
        entries = _read_data_list(cases.source)
    else:
        content = search_folder(cases.source, None if results is None else results.path)
        entries, cases.left_out = [{"image": path} for path in content.images], content.left_out
    if entries == [{"image": cases.source}]:
        image_kind(cases.source)
    ids = image_ids([entry["image"] for entry in entries], cases.root)
    cases.items = [{**entry, "image": str(entry["image"]), "image_id": name} for entry, name in zip(entries, ids)]
    if results is not None:
        results.refuse_inputs(ids, cases.inputs)
    for reason, names in cases.left_out.items() if is_first() else ():
        print(one_line(f"left out of {source}, {reason}: {a_few(names)}"), file=sys.stderr)
    return cases


def beside_template(cases: Cases, template: Template) -> Cases:
    """The same images; none where there is no template.

    Raises:
        ImageError: when they are nothing but the template.
    """
    if missing := cases.missing or template.missing:
        return Cases([], source=cases.source, missing=missing)
    if len(cases.items) <= len(template.all) and all(_is_copy(item["image"], template) for item in cases.items):
        raise ImageError(
            f"{cases.source} holds nothing but the template: put other images there, or name their folder."
        )
    return cases


def with_truth(cases: Cases, landmarks: str | Path | None, template: Template) -> Cases:
    """The images of a run that have true landmarks, without the templates themselves; none where something is missing.

    Args:
        cases: all images.
        landmarks: table of the true landmarks.
        template: the annotated image, whose landmarks give names and order; files equal to its own are left out, for
            they would be too easy.

    Raises:
        LandmarkError: when the table cannot be read, has other landmarks than the template, or fits no image.
    """
    images = beside_template(cases, template)
    if images.missing:
        return images
    if landmarks is None:
        return Cases(
            [],
            source=cases.source,
            missing="there are no true landmarks: name their table, as in `python -m monai.bundle run evaluation "
            "--config_file configs/evaluate.json --model_path models/model.pt --dataset_dir my_images "
            "--landmarks truth.csv`.",
        )
    table = read_landmark_table(landmarks)
    index, used = RowIndex(table), set()
    found = replace(images, items=[], without_truth=[], template_copies=[])
    for item in cases.items:
        path, name = Path(item["image"]), item["image_id"]
        key = index.find(path, name)
        used.add(key)
        if key is None:
            found.without_truth.append(name)
        elif _is_copy(path, template):
            found.template_copies.append(name)
        else:
            truth = table[key].in_order_of(template.landmarks.names, f"{landmarks}: image {key}")
            found.items.append({**item, "label": truth.points})
    found.without_image = [key for key in table if key not in used]
    if not found.items:
        raise LandmarkError(
            f"{landmarks} has the landmarks of {len(table)} images, but of none in {cases.root} (other than the "
            f"template {template.name}): the first column must hold the images' file names, with or without ending."
        )
    return found


def _is_copy(image: str | Path, template: Template) -> bool:
    """Whether a file is an image of the template."""
    digests = {one.digest for one in template.all if one.digest is not None}
    try:
        return bool(digests) and file_digest(image) in digests
    except OSError:  # the reader will say what is wrong with the file
        return False


def _read_data_list(file: Path) -> list[dict[str, Any]]:
    """The entries of a data list: ``image``, a path, and ``pixel_spacing`` and ``flip`` where they are given."""
    name = f"the data list {file}"
    content = parse_json(read_text(file, _MAX_LIST_BYTES, ConfigError), name, ConfigError)
    listed = content.get("testing", content.get("images")) if isinstance(content, dict) else content
    if not isinstance(listed, list) or not listed:
        raise ConfigError(f"{name} holds no list of images: expected ['a.png', ...] or [{{'image': ...}}].")
    entries = [entry if isinstance(entry, dict) else {"image": entry} for entry in listed]
    for entry in entries:
        path = entry.get("image")
        if not isinstance(path, str) or not path or "\0" in path:
            raise ConfigError(f"{name} names the image {shown(path)}, expected a path: correct it.")
    keys = ("pixel_spacing", "flip")  # which are checked where they are used
    own = [{key: entry[key] for key in keys if entry.get(key) is not None} for entry in entries]
    return [{**more, "image": file.parent / entry["image"]} for entry, more in zip(entries, own)]
