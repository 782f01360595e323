"""Structured reports as landmark files: what other programs may write, made without highdicom."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from bundle.errors import LandmarkError
from bundle.io.landmark_files import read_landmarks
from bundle.io.landmark_files.structured_report_file import LandmarkCode, read_landmark_codes
from bundle.records.radiograph import Radiograph


def item(kind: str, concept: tuple[str, str] | None = None, *children: Dataset, **values: Any) -> Dataset:
    found = Dataset()
    found.ValueType = kind
    if concept:
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator = concept
        found.ConceptNameCodeSequence = [code]
    for keyword, value in values.items():
        setattr(found, keyword, value)
    if children:
        found.ContentSequence = list(children)
    return found


def group(name: str | None, *points: Any, kind: str = "POINT") -> Dataset:
    children = [] if name is None else [item("TEXT", ("112039", "DCM"), TextValue=name)]
    children += [item("SCOORD", ("111030", "DCM"), GraphicType=kind, GraphicData=point) for point in points]
    return item("CONTAINER", ("125007", "DCM"), *children)


def write(path: Path, *groups: Dataset, modality: str = "SR") -> Path:
    content = item("CONTAINER", ("126010", "DCM"), *groups)
    content = item("CONTAINER", ("126000", "DCM"), content)
    content.Modality = modality
    content.file_meta = FileMetaDataset()
    content.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    content.file_meta.MediaStorageSOPClassUID = content.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.33"
    content.file_meta.MediaStorageSOPInstanceUID = content.SOPInstanceUID = "1.2.3"
    content.save_as(path, enforce_file_format=True)
    return path


def read(path: Path) -> Any:
    return read_landmarks(path, Radiograph(np.zeros((30, 40), np.float32), Path("image.png")))


def test_groups_with_a_point_are_landmarks(tmp_path: Path) -> None:
    circle = group("a circle", [1, 2, 3, 4], kind="CIRCLE")
    path = write(tmp_path / "r.dcm", group("a", [0.5, 0.5]), circle, group("b ", [40, 29.75]), group("no point"))
    found = read(path)
    assert found.names == ("a", "b")
    np.testing.assert_allclose(found.points, [[0, 0], [39.5, 29.25]])


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([group("a", [1, 2], [3, 4])], "'a' has 2 points"),
        ([group("a", [1, 2, 3])], "two numbers were expected"),
        ([group(None, [1, 2])], "number 1 has no name"),
        ([group("a", [1, 2]), group("a", [3, 4])], "'a' is used more than once"),
        ([group("nothing")], "there is no landmark"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, groups: list[Dataset], message: str) -> None:
    with pytest.raises(LandmarkError, match=message):
        read(write(tmp_path / "r.dcm", *groups))


def test_files_that_are_no_report(tmp_path: Path) -> None:
    (tmp_path / "text.dcm").write_text("no DICOM")
    (tmp_path / "empty.dcm").write_bytes(b"")
    cut = write(tmp_path / "cut.dcm", group("a", [1, 2]))
    cut.write_bytes(cut.read_bytes()[:300])
    for name, message in (
        ("none.dcm", "there is no file"),
        ("text.dcm", "is no DICOM file"),
        ("empty.dcm", "is no DICOM file"),
        ("cut.dcm", "no structured report|damaged"),
    ):
        with pytest.raises(LandmarkError, match=message):
            read(tmp_path / name)
    with pytest.raises(LandmarkError, match="no structured report"):
        read(write(tmp_path / "image.dcm", group("a", [1, 2]), modality="CR"))


GOOD = {"value": "42575006", "scheme": "SCT", "meaning": "Sella turcica"}


def read_codes(folder: Path, codes: Any, **more: Any) -> dict[str, LandmarkCode]:
    path = folder / "codes.json"
    path.write_text(json.dumps({"schema": "one-shot-landmarks/codes/1", "codes": codes, **more}), encoding="utf-8")
    return read_landmark_codes(path, ["sella", "nasion"])


def test_codes_by_name(tmp_path: Path) -> None:
    codes = read_codes(tmp_path, {"sella": GOOD})
    assert codes == {"sella": LandmarkCode(value="42575006", scheme="SCT", meaning="Sella turcica")}


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ([], "codes is"),
        ({"orbitale": GOOD}, "no landmark of this name"),
        ({"sella": {"value": "1"}}, "scheme is missing"),
        ({"sella": {**GOOD, "more": "1"}}, "known are value, scheme, meaning"),
        ({"sella": {**GOOD, "value": 42575006}}, "is 42575006, expected text"),
        ({"sella": {**GOOD, "value": "1" * 17}}, "at most 16"),
        ({"sella": {**GOOD, "value": "4 2"}}, "match pattern"),
        ({"sella": {**GOOD, "meaning": ""}}, "printable text"),
        ({"sella": {**GOOD, "meaning": "a\\b"}}, "backslash"),
        ({"sella": {**GOOD, "scheme": "S\n"}}, "match pattern"),
    ],
)
def test_bad_codes_are_refused(tmp_path: Path, codes: Any, message: str) -> None:
    with pytest.raises(LandmarkError, match=message) as caught:
        read_codes(tmp_path, codes)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_another_schema(tmp_path: Path) -> None:
    with pytest.raises(LandmarkError, match="codes/1"):
        read_codes(tmp_path, {}, schema="one-shot-landmarks/codes/2")
