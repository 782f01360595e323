"""What a run over an archive can rely on: nothing is lost, nothing is written that should not be, nothing leaks."""

import errno
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest

from bundle.io.landmark_files import read_landmark_table
from tests.conftest import Sample, as_nobody
from tests.workflows.running import TINY_NETWORK, failures, refusal, run

#: Tags that say who the patient is, with values that occur nowhere else.
IDENTIFYING = {
    "PatientName": "Zwiebelfisch^Ottokar",
    "PatientID": "QX77310",
    "PatientBirthDate": "19011231",
    "PatientAddress": "Sackgasse 9",
    "OtherPatientIDs": "QX77311",
    "AccessionNumber": "ACC77312",
    "InstitutionName": "Sankt Nimmerlein",
    "ReferringPhysicianName": "Eisenbart^Doktor",
    "StudyDate": "19020228",
    "StudyID": "ST77313",
    "StudyInstanceUID": "1.2.3.77314",
    "SeriesInstanceUID": "1.2.3.77315",
    "DeviceSerialNumber": "DS77316",
}


def infer(small: Sample, **settings: Any) -> None:
    run("inference", **small.template, **{"network": TINY_NETWORK, "writers": ["json"], "device": "cpu", **settings})


def everything(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def test_a_dry_run_writes_nothing(small: Sample, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = everything(small.folder)
    infer(small, dataset_dir=small.images, output_dir=tmp_path / "out", dry_run=True)
    told = capsys.readouterr().out
    assert (
        "phantom_002.dcm -> phantom_002.json: would be done\n" in told
        and "dry run of 3 image(s): 3 would be done" in told
    )
    run(
        "evaluate", **small.template, dataset_dir=small.folder, landmarks=small.truth, output_dir=tmp_path, dry_run=True
    )
    told = capsys.readouterr().out
    assert "phantom_000: left out, it has no true landmarks" in told and "metrics.csv: would be new" in told
    assert list(tmp_path.iterdir()) == [] and everything(small.folder) == before


def test_names_of_every_kind(small: Sample, tmp_path: Path) -> None:
    image, images = small.images / "phantom_001.dcm", tmp_path / "images"
    names = [
        "a/1.dcm",
        "b/1.dcm",
        "b/1.png",
        "con.dcm",
        "what?.dcm",
        "=1+1.dcm",
        f"{'x' * 250}",
        "caf\u00e9.dcm",
        "cafe\u0301.dcm",
    ]
    for name in names:
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(image, images / name)
    (images / "loop").symlink_to(images)
    (images / "\udcff.dcm").write_text("a name that is no text")
    (images / "lines\nerror: none.dcm").write_text("a name of two lines")
    with pytest.raises(SystemExit) as end:
        infer(small, dataset_dir=images, output_dir=tmp_path / "out")
    assert end.value.code == 1
    table = read_landmark_table(tmp_path / "out" / "landmarks.csv")
    assert len(table) == len(names) == len(list((tmp_path / "out").glob("*.json")))
    assert {"a__1", "b__1.dcm", "b__1.png", "_con", "what_", "=1+1"} <= set(table)
    assert set(failures(tmp_path / "out")) == {"?.dcm", "lines error: none.dcm"}


@pytest.fixture
def full_after(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """A disk with room for as many files as the one number says."""
    left, fsync = [10**6], os.fsync

    def limited(descriptor: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", limited)
    yield left


def test_a_disk_that_fills_up_and_is_cleared(small: Sample, tmp_path: Path, full_after: list[int]) -> None:
    settings = {"dataset_dir": small.images, "output_dir": tmp_path / "out"}
    full_after[0] = 3  # a file and its folder, and another file
    said = refusal(lambda: infer(small, **settings))
    assert "cannot be written (No space left on device)" in said and "out" in said
    hidden = [path.name for path in (tmp_path / "out").glob(".*")]
    assert hidden in ([], [".run"]) and not (tmp_path / "out" / "landmarks.csv").exists()
    full_after[0] = 10**6
    infer(small, **settings)
    assert len(read_landmark_table(tmp_path / "out" / "landmarks.csv")) == 3
    assert not (tmp_path / "out" / ".run").exists()


def test_files_that_vanish_cannot_be_read_or_are_too_large(small: Sample, tmp_path: Path) -> None:
    images = tmp_path / "images"
    shutil.copytree(small.images, images)
    listed = [str(path) for path in sorted(images.iterdir())] + [str(images / "vanished.dcm"), "bad\ud800name.png"]
    (tmp_path / "list.json").write_text(json.dumps(listed))
    with pytest.raises(SystemExit) as end:
        infer(small, dataset_dir=tmp_path / "list.json", output_dir=tmp_path / "out")
    assert end.value.code == 1
    reasons = failures(tmp_path / "out")
    assert set(reasons) == {"vanished.dcm", "bad?name.png"} and "does not exist" in reasons["vanished.dcm"]
    said = refusal(lambda: infer(small, dataset_dir=images, output_dir=tmp_path / "out", max_pixels=5000))
    assert "more than max_pixels = 5000" in said, "the template is checked, too"


@pytest.mark.skipif(
    any(not folder.stat().st_mode & 0o001 for folder in Path(sys.executable).resolve().parents),
    reason="others than root may not start this interpreter, and so no process of the decoders",
)
def test_images_that_may_not_be_read(small: Sample, tmp_path: Path) -> None:
    from bundle.data.cases import collect_cases
    from bundle.data.readable import Failures, LoadRadiographd, ReadableImages

    images = tmp_path / "images"
    shutil.copytree(small.images, images)
    (images / "phantom_002.dcm").chmod(0)

    def read() -> None:
        from monai.data import Dataset

        found = Failures()
        dataset = Dataset(collect_cases(images).items, LoadRadiographd(keys="image"))
        assert len(list(ReadableImages(dataset, found))) == 2
        ((file, reason),) = found.rows
        assert file.endswith("phantom_002.dcm") and "cannot be opened (Permission denied)" in reason

    as_nobody(read, tmp_path)


def test_nothing_says_who_the_patient_is(small: Sample, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name, change in (
        ("good", {}),
        ("frames", {"NumberOfFrames": 2}),
        ("colour", {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}),
        ("syntax", {"PhotometricInterpretation": "ODD", "RescaleSlope": "Zwiebelfisch"}),
    ):
        dataset = pydicom.dcmread(small.images / "phantom_001.dcm")
        for key, value in {**IDENTIFYING, **change}.items():
            try:
                setattr(dataset, key, value)
            except ValueError:  # a number that is none cannot be set
                continue
        dataset.save_as(images / f"{name}.dcm")
    content = (images / "good.dcm").read_bytes()
    (images / "cut.dcm").write_bytes(content[: len(content) // 2])
    with pytest.raises(SystemExit):
        infer(small, dataset_dir=images, output_dir=tmp_path / "out", writers=["json", "markups", "overlay"])
    said = capfd.readouterr()
    assert {"good.json", "good.mrk.json", "good.png"} <= {path.name for path in (tmp_path / "out").iterdir()}
    written = b"\n".join([*filter(None, everything(tmp_path / "out").values()), said.out.encode(), said.err.encode()])
    secrets = [part for value in IDENTIFYING.values() for part in value.split("^")]
    assert [secret for secret in secrets if secret.encode() in written] == []
