import dataclasses
import math
import os
from pathlib import Path

import numpy as np
import pydicom
import pytest

from bundle.errors import LandmarkError, NothingToWrite
from bundle.io.landmark_files import read_landmarks
from bundle.io.landmark_files.structured_report_file import LandmarkCode
from bundle.io.radiographs import read_radiograph
from bundle.records.prediction import LandmarkPrediction, MeasuredValue
from tests.io.image_files import dicom_dataset, save_dicom
from tests.writers.test_result_writers import prediction

hd = pytest.importorskip("highdicom")

from bundle.writers.structured_report import StructuredReports  # noqa: E402

NAMES = ("sella", "Ünder π", "gone", "4")
POINTS = np.array([[10.1234, 20.5], [-0.5, 0.25], [np.nan, np.nan], [39.4996, 29.0]])
VALUES = (
    MeasuredValue("ANB", "a title: with more", "deg", 3.2123, 0.7, (3.2, 5.7), "skeletal class I"),
    MeasuredValue("MW", f"modified Wits: {'x' * 90}", "mm", -2.0, math.nan, (None, 4.5), "anterior crossbite"),
    MeasuredValue("a name of more than sixteen", "r", "1", 0.7),
    MeasuredValue("none", "n", "mm", math.nan, note="landmark gone is missing"),
)
PATIENT = {
    "PatientName": "Müller^Anna",
    "PatientID": "4711",
    "PatientBirthDate": "19700101",
    "PatientSex": "F",
    "StudyDate": "20240102",
    "StudyTime": "101112",
    "AccessionNumber": "A1",
    "StudyID": "S1",
    "ReferringPhysicianName": "Doe^J",
}


def image(path: Path, **changes: object) -> Path:
    """A DICOM radiograph of 40 x 36 pixels with a patient; what is changed to None is not in it."""
    known = {
        **PATIENT,
        "SpecificCharacterSet": "ISO_IR 100",
        "SOPInstanceUID": f"1.2.3.{len(path.name)}",
        "StudyInstanceUID": "1.2.4",
        "SeriesInstanceUID": "1.2.5",
        "PixelSpacing": [0.5, 0.25],
        **changes,
    }
    dataset = dicom_dataset(np.random.default_rng(0).integers(0, 255, (36, 40), dtype=np.uint8), 8, **known)
    for keyword in [keyword for keyword, value in known.items() if value is None]:
        delattr(dataset, keyword)
    return save_dicom(path, dataset)


def predicted(path: Path, names=NAMES, points=POINTS, **changes) -> LandmarkPrediction:
    count = len(names)
    values = {
        "image_id": path.stem,
        "path": path,
        "names": tuple(names),
        "points": points,
        "confidence": np.linspace(0.1, 0.9, count),
        "expected_error": np.array([1.5, *[math.nan] * (count - 1)]),
        "width": 40,
        "height": 36,
        "spacing": (0.25, 0.5),
        "spacing_source": "PixelSpacing",
        "measurements": VALUES,
    }
    return prediction(count=count, **{**values, **changes})


def written(folder: Path, found: LandmarkPrediction, **settings) -> Path:
    path = folder / "report.sr.dcm"
    path.write_bytes(StructuredReports(**settings)(found))
    return path


def test_a_report_comes_back(tmp_path: Path) -> None:
    source = image(tmp_path / "a.dcm")
    path = written(tmp_path, predicted(source))
    back = read_landmarks(path, read_radiograph(source))
    assert back.names == NAMES
    np.testing.assert_array_equal(back.points, np.round(POINTS, 3))


def test_highdicom_reads_the_groups(tmp_path: Path) -> None:
    source = image(tmp_path / "a.dcm")
    codes = {"sella": LandmarkCode(value="42575006", scheme="SCT", meaning="Sella turcica")}
    path = written(tmp_path, predicted(source), landmark_codes=codes, model="abc")
    report = hd.sr.srread(path)
    assert report.SOPClassUID.name == "Comprehensive SR Storage"
    groups = report.content.get_planar_roi_measurement_groups()
    assert [group.tracking_identifier for group in groups] == ["sella", "Ünder π", "4"]
    assert len({group.tracking_uid for group in groups}) == 3
    first = groups[0]
    assert first.roi.graphic_type == hd.sr.GraphicTypeValues.POINT
    np.testing.assert_allclose(first.roi.value, [[10.623, 21.0]], atol=1e-5)  # from the corner of the first pixel
    assert [(m.name.meaning, m.value, m.unit.value) for m in first.get_measurements()] == [
        ("Confidence", 0.1, "1"),
        ("Expected error", pytest.approx(1.5 * np.sqrt((0.25**2 + 0.5**2) / 2)), "mm"),
        ("Expected error", 1.5, "{pixels}"),
    ]
    assert [site.value.meaning for site in first.finding_sites] == ["Sella turcica"]
    assert [group.finding_sites for group in groups[1:]] == [[], []]
    missing, measured = report.content.get_image_measurement_groups()
    assert missing.tracking_identifier == "gone"
    values = [(m.name.meaning, m.value, m.unit.value, m.derivation is not None) for m in measured.get_measurements()]
    assert values == [
        ("a title: with more", 3.2123, "deg", False),
        ("a title: with more", 0.7, "deg", True),
        ("modified Wits", -2.0, "mm", False),
        ("r", 0.7, "1", False),
    ]
    classes = [one.value.meaning for one in measured.get_qualitative_evaluations()]
    assert classes == ["skeletal class I", "anterior crossbite"]
    text = str(pydicom.dcmread(path))
    assert "model abc" in text and "Normal Range Upper Limit" in text and "1.2.3.5" in text


def test_the_same_landmark_has_the_same_tracking_uid(tmp_path: Path) -> None:
    source = image(tmp_path / "a.dcm")
    uids, documents = [], []
    for changes in ({}, {"points": POINTS + 1, "names": ("other", *NAMES[1:])}):
        report = hd.sr.srread(written(tmp_path, predicted(source, **changes)))
        uids.append([group.tracking_uid for group in report.content.get_planar_roi_measurement_groups()])
        documents.append((report.SOPInstanceUID, report.SeriesInstanceUID))
    assert uids[0][1:] == uids[1][1:] and uids[0][0] != uids[1][0]
    assert documents[0] != documents[1]


@pytest.mark.parametrize("include", [False, True])
def test_identifiers_are_left_out_unless_wanted(tmp_path: Path, include: bool) -> None:
    source = image(tmp_path / "a.dcm")
    path = written(tmp_path, predicted(source), include_identifiers=include)
    report = pydicom.dcmread(path)
    for keyword, value in PATIENT.items():
        assert keyword in report, "the standard demands the element"
        assert str(report.get(keyword) or "") == (value if include else "")
    assert report.StudyInstanceUID == "1.2.4"
    for secret in ("4711", "Anna", "19700101", "Doe"):
        assert (secret.encode() in path.read_bytes()) == include


def test_broken_identifiers_do_not_stop_the_report(tmp_path: Path) -> None:
    source = image(tmp_path / "a.dcm", PatientSex="X", PatientName=None, StudyTime=None)
    report = pydicom.dcmread(written(tmp_path, predicted(source), include_identifiers=True))
    assert (report.PatientSex, str(report.PatientName), report.PatientID) == ("", "", "4711")


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID"])
def test_an_image_that_cannot_be_referred_to(tmp_path: Path, keyword: str) -> None:
    source = image(tmp_path / "a.dcm", **{keyword: None})
    with pytest.raises(NothingToWrite, match=rf"a\.dcm has no valid {keyword}.*\.$") as caught:
        written(tmp_path, predicted(source))
    assert str(tmp_path) not in str(caught.value)


def test_an_image_that_is_no_dicom(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(NothingToWrite, match=r"a\.png is no DICOM file"):
        written(tmp_path, predicted(tmp_path / "a.png"))


def test_a_report_is_for_its_own_image(tmp_path: Path) -> None:
    path = written(tmp_path, predicted(image(tmp_path / "a.dcm")))
    with pytest.raises(LandmarkError, match="belongs to another image than longer"):
        read_landmarks(path, read_radiograph(image(tmp_path / "longer.dcm")))


def test_nothing_found_at_all(tmp_path: Path) -> None:
    source = image(tmp_path / "a.dcm")
    nothing = dataclasses.replace(predicted(source), points=POINTS * np.nan, measurements=())
    back = read_landmarks(written(tmp_path, nothing), read_radiograph(source))
    assert back.names == NAMES and back.missing.all()


@pytest.mark.real_data
@pytest.mark.skipif(
    not (Path(os.environ.get("OSL_REAL_DATA", "")) / "dicom").is_dir(), reason="OSL_REAL_DATA names no DICOM files"
)
def test_reports_on_real_radiographs(tmp_path: Path) -> None:
    from pydicom.data import get_testdata_file

    files = [*(Path(os.environ["OSL_REAL_DATA"]) / "dicom").glob("*.dcm")]
    files += [Path(found) for name in ("RG1_UNCR.dcm", "RG3_UNCR.dcm") if (found := get_testdata_file(name))]
    assert len(files) >= 2
    for file in files:
        source = read_radiograph(file)
        points = np.random.default_rng(1).uniform(0, [source.width - 1, source.height - 1], (4, 2))
        path = written(tmp_path, predicted(file, points=points), include_identifiers=True)
        np.testing.assert_array_equal(read_landmarks(path, source).points, np.round(points, 3))
        assert len(hd.sr.srread(path).content.get_planar_roi_measurement_groups()) == 4
