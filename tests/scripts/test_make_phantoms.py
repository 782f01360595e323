"""Tests of the sample set's script: files, landmarks, image formation and messages for bad arguments."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "make_phantoms.py"
sys.path.insert(0, str(SCRIPT.parent))

import make_phantoms  # noqa: E402
from phantoms import anatomy, radiography, scene, solids  # noqa: E402

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
    assert [row[0] for row in template[1:]] == list(anatomy.LANDMARKS)
    wide = _table(sample / "landmarks.csv")
    assert wide[0][:5] == ["image", "x1", "y1", "x2", "y2"] and wide[0][-1] == "y37"
    assert [row[0] for row in wide[1:]] == [file.stem for file in sorted((sample / "images").glob("*.dcm"))]
    assert all(len(row) == 75 and all(len(cell.split(".")[1]) == 2 for cell in row[1:]) for row in wide[1:])


def test_same_seed_gives_same_bytes_and_count_does_not_matter(sample: Path, tmp_path: Path) -> None:
    run = [sys.executable, str(SCRIPT), "--output_dir", "again", "--count", "2", "--height", str(HEIGHT)]
    subprocess.run([*run, "--seed", str(SEED)], cwd=tmp_path, check=True, capture_output=True)
    first, second = _bytes(sample), _bytes(tmp_path / "again")
    for name in ("template/phantom_000.dcm", "template/landmarks.csv", "images/phantom_001.dcm"):
        assert first[name] == second[name]
    other = scene.make_phantom(SEED + 1, 1, HEIGHT)
    assert not np.array_equal(other.pixels, scene.make_phantom(SEED, 1, HEIGHT).pixels)


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


def test_both_photometric_interpretations_occur() -> None:
    size, points = (HEIGHT, 160), np.full((37, 2), 80.0)
    rngs = (np.random.default_rng([0, k]) for k in range(40))
    inverted = [scene._draw_exposure(rng, size, 1.1, points, plain=False).inverted for rng in rngs]
    assert 2 <= sum(inverted) <= 20


@pytest.mark.parametrize("index", range(6))
def test_landmarks_lie_in_the_image_and_in_order(index: int) -> None:
    phantom = scene.make_phantom(11, index, HEIGHT)
    points = dict(zip(anatomy.LANDMARKS, phantom.landmarks, strict=True))
    assert len(points) == 37
    assert (anatomy.LANDMARKS[0], anatomy.LANDMARKS[4]) == ("wrist_ulnar", "wrist_radial")
    assert phantom.landmarks.min() >= 0
    assert np.all(phantom.landmarks.max(axis=0) <= np.array(phantom.pixels.shape[::-1]) - 1)
    width = np.linalg.norm(points["wrist_ulnar"] - points["wrist_radial"]) * phantom.spacing
    assert 30 < width < 60
    assert points["thumb_tip"][0] > points["wrist_radial"][0] > points["wrist_ulnar"][0]
    parts = ("metacarpal_base", "proximal_phalanx_base", "middle_phalanx_base", "distal_phalanx_base", "tip")
    for digit in anatomy.DIGITS[1:]:
        heights = [points[f"{digit}_{part}"][1] for part in parts]
        assert heights == sorted(heights, reverse=True)
    tips = [points[f"{digit}_tip"][0] for digit in anatomy.DIGITS]
    assert tips == sorted(tips, reverse=True)


@pytest.mark.parametrize("index", range(1, 4))
def test_bone_is_brighter_than_air_and_than_the_soft_tissue_beside_it(index: int) -> None:
    phantom = scene.make_phantom(5, index, 320)
    image = phantom.pixels.astype(float)
    if phantom.exposure.inverted:
        image = 4095 - image
    points = dict(zip(anatomy.LANDMARKS, phantom.landmarks, strict=True))
    left, top = (max(0, round(n)) for n in phantom.exposure.field[:2])
    air = np.median(image[top + 4 : top + 12, left + 4 : left + 12])
    for digit in anatomy.DIGITS[1:]:
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
    small, large = scene.make_phantom(2, 1, 160), scene.make_phantom(2, 1, 480)
    assert np.allclose((small.landmarks + 0.5) * 3.0, large.landmarks + 0.5, atol=0.02)


def test_uniform_slab_follows_beer_lambert() -> None:
    mu = radiography.coefficients(60.0)
    assert mu["soft"] == pytest.approx(0.0217, abs=2e-4) and mu["bone"] == pytest.approx(0.0604, abs=2e-4)
    slab = {name: np.full((40, 30), mm) for name, mm in (("soft", 20.0), ("fat", 0.0), ("bone", 3.0))}
    expected = np.exp(-20.0 * mu["soft"] - 3.0 * mu["bone"])
    assert np.allclose(radiography.beer_lambert(slab, mu), expected, rtol=1e-5)
    far = (-1e4, -1e4, 1e4, 1e4)
    clean = radiography.Exposure(60.0, 1e12, 0.0, 0.1, 0.0, (0.0, 0.0), far, None, False, (0.1, 1.0), False)
    signal = radiography.detect(slab, 0.5, 1, clean, np.random.default_rng(0))
    assert np.allclose(signal, expected, rtol=1e-3)


def test_path_lengths_through_an_elliptic_tube() -> None:
    shape = solids.LongShape(
        length=60.0,
        ulnar=np.full(256, 6.0, np.float32),
        radial=np.full(256, 6.0, np.float32),
        depth=np.full(256, 5.0, np.float32),
        cortex=np.full(256, 1.0, np.float32),
        spongiosa=np.full(256, 0.1, np.float32),
        base=np.zeros(256, np.float32),
        head=np.zeros(256, np.float32),
    )
    axes = anatomy.frame(np.array([0.0, 1.0, 0.0]))
    bone = solids.Bone("tube", shape, np.array([0.0, -30.0, 20.0]), axes)
    rays = solids.Rays((81, 81), 0.25, (-10.0, 10.0), np.array([0.0, 0.0, 1e6]))
    window, mask, path = solids.path_through(bone, rays)
    total, marrow = np.zeros(rays.shape), np.zeros(rays.shape)
    total[window][mask], marrow[window][mask] = path["total"], path["marrow"]
    x = np.linspace(-10, 10, 81)
    expected = 10.0 * np.sqrt(np.clip(1.0 - (x / 6.0) ** 2, 0.0, None))
    assert np.abs(total[40] - expected).max() < 0.45  # worst at the grazing edge
    assert total[40, 40] == pytest.approx(10.0, abs=0.05) and marrow[40, 40] == pytest.approx(8.0, abs=0.15)


def test_perspective_projection_magnifies_about_the_source() -> None:
    rays = solids.Rays((100, 100), 0.5, (-20.0, 30.0), np.array([0.0, 0.0, 1000.0]))
    points = rays.project(np.array([[10.0, 10.0, 0.0], [10.0, 10.0, 200.0]]))
    assert np.allclose(points, [[60.0, 40.0], [(12.5 + 20.0) / 0.5, (30.0 - 12.5) / 0.5]])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--count", "0"], ("--count", "0", "expected")),
        (["--height", "100"], ("--height", "100", "128")),
        (["--seed", "-1"], ("--seed", "-1", "at least 0")),
    ],
)
def test_bad_arguments_are_named(
    arguments: list[str], words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        make_phantoms.main(["--output_dir", str(tmp_path / "set"), *arguments])
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert all(word in message for word in words)
    assert not (tmp_path / "set").exists()


def test_existing_set_needs_force_and_foreign_files_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["--output_dir", str(tmp_path), "--height", "128"]
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "mine.dcm").write_bytes(b"mine")
    assert make_phantoms.main([*run, "--count", "2"]) == 0
    with pytest.raises(SystemExit) as stop:
        make_phantoms.main([*run, "--count", "1"])
    assert stop.value.code == 2 and "--force" in capsys.readouterr().err
    assert make_phantoms.main([*run, "--count", "1", "--force"]) == 0
    assert sorted(file.name for file in (tmp_path / "images").iterdir()) == ["mine.dcm", "phantom_001.dcm"]


def test_output_dir_that_is_a_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(SystemExit) as stop:
        make_phantoms.main(["--output_dir", str(file)])
    assert stop.value.code == 2 and "expected a folder" in capsys.readouterr().err
