from pathlib import Path

import pydicom
import pytest
from image_files import picture, write_dicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from bundle.errors import ImageError
from bundle.io.folders import search_folder

DISC = Path(pydicom.__file__).parent / "data" / "test_files" / "dicomdirtests"


def record(kind, file_id=None, **elements):
    entry = Dataset()
    entry.DirectoryRecordType = kind
    if file_id is not None:
        entry.ReferencedFileID = file_id
    for keyword, value in elements.items():
        setattr(entry, keyword, value)
    return entry


def write_dicomdir(path, *records):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = pydicom.FileDataset("", Dataset(), file_meta=meta, preamble=b"\0" * 128)
    dataset.is_little_endian, dataset.is_implicit_VR = True, False
    dataset.DirectoryRecordSequence = list(records)
    pydicom.dcmwrite(path, dataset, write_like_original=False)
    return path


def test_a_disc_of_pydicom():
    found = search_folder(DISC / "DICOMDIR").images
    assert len(found) == 31 and all(path.is_file() and path.is_relative_to(DISC) for path in found)
    assert found == sorted(set(found))
    assert set(found) <= set(search_folder(DISC).images)


def test_images_in_use_alone(tmp_path):
    for name in ("IM1", "im2", "SR1", "IM3"):
        (tmp_path / "A").mkdir(exist_ok=True)
        write_dicom(tmp_path / "A" / name, picture())
    path = write_dicomdir(
        tmp_path / "DICOMDIR",
        record("PATIENT"),
        record("IMAGE", ["A", "IM1"], RecordInUseFlag=0xFFFF),
        record("IMAGE", ["a", "IM2"]),
        record("IMAGE", ["A", "IM3"], RecordInUseFlag=0),
        record("SR DOCUMENT", ["A", "SR1"]),
        record("IMAGE", ["A", "GONE"]),
        record("IMAGE", ["A", "IM1"]),
    )
    assert search_folder(path).images == [tmp_path / "A" / name for name in ("GONE", "IM1", "im2")]


@pytest.mark.parametrize("file_id", [["..", "IM1"], ["A", ".", "IM1"], "/etc/passwd", ["A/../..", "IM1"], ["A", ""]])
def test_files_outside_are_refused(tmp_path, file_id):
    with pytest.raises(ImageError, match=r"which is not below its own folder: give the folder of the images\.$"):
        search_folder(write_dicomdir(tmp_path / "DICOMDIR", record("IMAGE", file_id)))


def test_a_dicomdir_that_is_none(tmp_path):
    (tmp_path / "DICOMDIR").write_text("nothing of the sort " * 20)
    with pytest.raises(ImageError, match="is no DICOMDIR, or a damaged one"):
        search_folder(tmp_path / "DICOMDIR")
    with pytest.raises(ImageError, match="names no image"):
        search_folder(write_dicomdir(tmp_path / "dicomdir", record("PATIENT")))
