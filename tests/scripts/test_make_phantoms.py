"""Tests of the sample set's script: files, landmarks, image formation and messages for bad arguments."""

import csv
import subprocess
import sys
from pathlib import Path

import make_phantoms
import numpy as np
import pydicom
import pytest
from phantoms import hand, radiograph

from tests.workflows.running import ROOT

COUNT, HEIGHT, SEED = 4, 200, 3


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample") / "set"
    arguments = ["--output_dir", str(folder), "--count", str(COUNT), "--height", str(HEIGHT), "--seed", str(SEED)]
    assert make_phantoms.main(arguments) == 0
    return folder


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def _table(file: Path) -> list[list[str]]:
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.reader(lines))


def test_layout_and_tables_match_the_files(sample: Path) -> None:
    assert sorted(_bytes(sample)) == [
        *(f"images/phantom_{k:03d}.dcm" for k in range(1, COUNT + 1)),
        "landmarks.csv",
        "template/landmarks.csv",
        "template/phantom_000.dcm",
    ]
    template = _table(sample / "template" / "landmarks.csv")
    assert template[0] == ["name", "x", "y"]
    assert [row[0] for row in template[1:]] == list(hand.LANDMARKS)
    wide = _table(sample / "landmarks.csv")
    assert wide[0][:5] == ["image", "x1", "y1", "x2", "y2"] and wide[0][-1] == "y37"
    assert [row[0] for row in wide[1:]] == [file.stem for file in sorted((sample / "images").glob("*.dcm"))]
    assert all(len(row) == 75 and all(len(cell.split(".")[1]) == 2 for cell in row[1:]) for row in wide[1:])


def test_same_seed_gives_same_bytes_and_count_does_not_matter(sample: Path, tmp_path: Path) -> None:
    run = [
        sys.executable,
        str(ROOT / "scripts" / "make_phantoms.py"),
        "--output_dir",
        "again",
        "--count",
        "2",
        "--height",
        str(HEIGHT),
    ]
    subprocess.run([*run, "--seed", str(SEED)], cwd=tmp_path, check=True, capture_output=True)
    first, second = _bytes(sample), _bytes(tmp_path / "again")
    for name in ("template/phantom_000.dcm", "template/landmarks.csv", "images/phantom_001.dcm"):
        assert first[name] == second[name]
    other = radiograph.make_phantom(SEED + 1, 1, HEIGHT)
    assert not np.array_equal(other.pixels, radiograph.make_phantom(SEED, 1, HEIGHT).pixels)


def test_dicom_is_complete(sample: Path) -> None:
    files = [sample / "template" / "phantom_000.dcm", *sorted((sample / "images").glob("*.dcm"))]
    seen = set()
    for file in files:
        ds = pydicom.dcmread(file)
        assert ds.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
        assert ds.SOPClassUID == ds.file_meta.MediaStorageSOPClassUID == "1.2.840.10008.5.1.4.1.1.1.1"
        assert ds.SOPInstanceUID == ds.file_meta.MediaStorageSOPInstanceUID and ds.SOPInstanceUID.is_valid
        seen.update([ds.SOPInstanceUID, ds.SeriesInstanceUID, ds.StudyInstanceUID])
        assert (ds.Modality, ds.BodyPartExamined, ds.ViewPosition, ds.ImageLaterality) == ("DX", "HAND", "PA", "L")
        assert str(ds.PatientName) == "PHANTOM^HAND"
        assert (ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation) == (16, 12, 11, 0)
        assert ds.pixel_array.shape == (HEIGHT, round(0.8 * HEIGHT)) == (ds.Rows, ds.Columns)
        assert ds.pixel_array.min() >= 0 and ds.pixel_array.max() <= 4095
        assert ds.PixelSpacing == ds.ImagerPixelSpacing and ds.PixelSpacing[0] == ds.PixelSpacing[1]
        assert 195 <= float(ds.PixelSpacing[0]) * ds.Rows <= 235
        assert ds.PhotometricInterpretation in ("MONOCHROME1", "MONOCHROME2")
    assert len(seen) == 3 * len(files)


def test_both_photometric_interpretations_occur_but_not_in_the_template() -> None:
    inverted = [radiograph.make_phantom(0, index, 128).inverted for index in range(16)]
    assert not inverted[0] and 1 <= sum(inverted) <= 12


@pytest.mark.parametrize("index", range(6))
def test_landmarks_lie_in_the_image_and_in_order(index: int) -> None:
    phantom = radiograph.make_phantom(11, index, HEIGHT)
    points = dict(zip(hand.LANDMARKS, phantom.landmarks, strict=True))
    assert len(points) == 37
    assert (hand.LANDMARKS[0], hand.LANDMARKS[4]) == ("wrist_ulnar", "wrist_radial")
    assert phantom.landmarks.min() >= 0
    assert np.all(phantom.landmarks.max(axis=0) <= np.array(phantom.pixels.shape[::-1]) - 1)
    width = np.linalg.norm(points["wrist_ulnar"] - points["wrist_radial"]) * phantom.spacing
    assert 30 < width < 60
    assert points["thumb_tip"][0] > points["wrist_radial"][0] > points["wrist_ulnar"][0]
    parts = ("metacarpal_base", "proximal_phalanx_base", "middle_phalanx_base", "distal_phalanx_base", "tip")
    for digit in hand.DIGITS[1:]:
        heights = [points[f"{digit}_{part}"][1] for part in parts]
        assert heights == sorted(heights, reverse=True)
    tips = [points[f"{digit}_tip"][0] for digit in hand.DIGITS]
    assert tips == sorted(tips, reverse=True)


@pytest.mark.parametrize("index", range(1, 4))
def test_bone_is_brighter_than_air_and_than_the_soft_tissue_beside_it(index: int) -> None:
    phantom = radiograph.make_phantom(5, index, 320)
    image = phantom.pixels.astype(float)
    if phantom.inverted:
        image = 4095 - image
    points = dict(zip(hand.LANDMARKS, phantom.landmarks, strict=True))
    # Right of the little finger's tip there is air between it and the border, within the field.
    x, y = phantom.landmarks[hand.LANDMARKS.index("thumb_tip")]
    air = np.median(image[int(y) - 60 : int(y) - 30, int(x) - 10 : int(x)])
    for digit in hand.DIGITS[1:]:
        start, end = points[f"{digit}_proximal_phalanx_base"], points[f"{digit}_middle_phalanx_base"]
        along = end - start
        middle, across = 0.5 * (start + end), np.array([-along[1], along[0]]) / np.linalg.norm(along)
        shaft = [image[tuple(np.rint(middle + k * across)[::-1].astype(int))] for k in (-3, -2, -1, 0, 1, 2, 3)]
        assert np.mean(shaft) > air + 300
        tip = points[f"{digit}_tip"]
        outside = tip + 8.0 / phantom.spacing * (tip - start) / np.linalg.norm(tip - start)
        inside = tip - 4.0 / phantom.spacing * (tip - start) / np.linalg.norm(tip - start)
        values = [image[tuple(np.rint(p)[::-1].astype(int))] for p in (inside, outside)]
        assert values[0] > values[1]


def test_landmarks_do_not_depend_on_the_resolution() -> None:
    small, large = radiograph.make_phantom(2, 1, 160), radiograph.make_phantom(2, 1, 480)
    assert np.allclose((small.landmarks + 0.5) * 3.0, large.landmarks + 0.5, atol=0.02)


def test_landmarks_lie_on_the_outlines_of_their_bones() -> None:
    one = hand.make_hand(np.random.default_rng(4))
    for (bone, *_), point in zip(hand.ANATOMY["landmarks"].values(), one.landmarks(), strict=True):
        around = point + 3.0 * np.array([[np.cos(a), np.sin(a)] for a in np.linspace(0, 2 * np.pi, 60)])
        u, v = one.bones[bone].turn @ (around - one.bones[bone].place).T
        inside = one.bones[bone].thickness(u, v) > 0
        assert 0.1 < inside.mean() < 0.9, (bone, inside.mean())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--count", "0"], ("--count", "0", "expected")),
        (["--height", "100"], ("--height", "100", "128")),
        (["--seed", "-1"], ("--seed", "-1", "from 0")),
    ],
)
def test_bad_arguments_are_named(
    arguments: list[str], words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make_phantoms.main(["--output_dir", str(tmp_path / "set"), *arguments]) == 2
    message = capsys.readouterr().err
    assert all(word in message for word in words)
    assert not (tmp_path / "set").exists()


def test_existing_set_needs_force_and_foreign_files_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["--output_dir", str(tmp_path), "--height", "128"]
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "mine.dcm").write_bytes(b"mine")
    assert make_phantoms.main([*run, "--count", "2"]) == 0
    assert make_phantoms.main([*run, "--count", "1"]) == 2
    assert "--force" in capsys.readouterr().err
    assert make_phantoms.main([*run, "--count", "1", "--force"]) == 0
    assert sorted(file.name for file in (tmp_path / "images").iterdir()) == ["mine.dcm", "phantom_001.dcm"]


def test_existing_study_needs_force_and_foreign_files_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["--study", "--output_dir", str(tmp_path), "--height", "128"]
    mine = tmp_path / "phantom_001.dcm"
    mine.write_bytes(b"mine")
    assert make_phantoms.main([*run, "--count", "2"]) == 2
    said = capsys.readouterr().err
    assert str(mine) in said and "--force" in said
    assert _bytes(tmp_path) == {"phantom_001.dcm": b"mine"}
    (tmp_path / "mine.dcm").write_bytes(b"mine")
    assert make_phantoms.main([*run, "--count", "2", "--force"]) == 0
    assert make_phantoms.main([*run, "--count", "1", "--force"]) == 0
    assert list(_bytes(tmp_path)) == [
        "mine.dcm",
        "phantom_000.dcm",
        "truth/landmarks.csv",
        "truth/phantom_000.mrk.json",
    ]
    (tmp_path / "phantom_000.dcm").unlink()
    assert make_phantoms.main([*run, "--count", "1"]) == 2  # the truth alone is not written over either
    assert "truth" in capsys.readouterr().err


@pytest.mark.parametrize(("file", "options"), [("", []), ("template", []), ("images", []), ("truth", ["--study"])])
def test_a_folder_that_is_a_file_is_refused(
    file: str, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "set"
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text("x")
    assert make_phantoms.main(["--output_dir", str(folder), *options]) == 2
    assert f"expected a folder, but {folder / file} is a file" in capsys.readouterr().err
