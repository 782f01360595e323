import itertools
import os
import re
import unicodedata
from pathlib import Path

import numpy as np
import pydicom
import pytest
from image_files import dicom_dataset, picture, write_dicom
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from bundle.errors import ImageError
from bundle.io.folders import find_images, image_ids, search_folder
from bundle.io.radiographs import read_radiograph
from bundle.writers.files import made_here, output_path
from bundle.writers.image_files import ENDINGS
from tests.conftest import as_nobody


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names_of(root):
    return [path.relative_to(root).as_posix() for path in find_images(root)]


def test_images_are_found_by_name_and_by_preamble(tmp_path):
    touch(tmp_path, "b/2.PNG", "b/10.jpeg", "a.nii.gz", "c.nhdr", "d.mhd", "d.raw", "e.tif", "f.bmp", "g.dcm")
    touch(tmp_path, "t.csv", "t.json", "t.txt", "t.gz", "noname", "x.png.txt", "png", "landmarks/a.mrk.json")
    touch(tmp_path, ".hidden.png", ".cache/a.png", "b/DICOMDIR")
    write_dicom(tmp_path / "b" / "IM000001", picture())
    write_dicom(tmp_path / "1.2.840.10008", picture())
    write_dicom(tmp_path / "DICOMDIR", picture())
    assert names_of(tmp_path) == [
        *("1.2.840.10008", "a.nii.gz", "b/10.jpeg", "b/2.PNG", "b/IM000001"),
        *("c.nhdr", "d.mhd", "e.tif", "f.bmp", "g.dcm"),
    ]


def test_dicom_without_preamble_and_ending(tmp_path):
    dataset = dicom_dataset(picture())
    del dataset.file_meta
    dataset.preamble = None
    for name in ("IM0001", "1.2.840.7", "image.raw", "image.bin"):
        pydicom.dcmwrite(tmp_path / name, dataset, write_like_original=True)
    touch(tmp_path, "empty")
    (tmp_path / "README").write_text("hello")
    assert names_of(tmp_path) == ["1.2.840.7", "IM0001"]


def test_files_of_any_name_are_images_by_their_content(tmp_path):
    """Cameras, browsers and archives name files as they like; text is no image whatever it begins with."""
    grey = Image.fromarray(picture().astype(np.uint8))
    for name, form in (
        *(("a.jpg", "JPEG"), ("b.jfif", "JPEG"), ("c.jpe", "JPEG"), ("d", "JPEG"), ("e.pjpeg", "JPEG")),
        *(("f.bak", "PNG"), ("g.png~", "PNG"), ("h.TIF_", "TIFF"), ("i.dib", "BMP"), ("j.1", "BMP")),
    ):
        grey.save(tmp_path / name, format=form)
    write_dicom(tmp_path / "k.img", picture())
    for name, text in (("m.txt", "BM is a word"), ("n.ini", "Comment = none"), ("o", "hello"), ("p.csv", "")):
        (tmp_path / name).write_text(text)
    found = search_folder(tmp_path)
    assert [path.name[0] for path in found.images] == list("abcdefghijk")
    assert found.left_out == {"no image": ["m.txt", "n.ini", "o", "p.csv"]}
    assert all(read_radiograph(path).width == grey.width for path in found.images)
    assert image_ids(found.images, tmp_path)[:6] == ["a", "b", "c", "d", "e.pjpeg", "f.bak"]


def test_every_file_is_accounted_for(tmp_path):
    touch(tmp_path, "a.png", "sub/b.dcm", "t.csv", "sub/t.txt", ".hidden.png", ".cache/a.png", "DICOMDIR", "out/c.png")
    (tmp_path / "lost.txt").symlink_to(tmp_path / "nowhere")
    Image.new("L", (40, 40)).save(tmp_path / "drawn.png", pnginfo=made_here())
    os.mkfifo(tmp_path / "pipe.png")
    found = search_folder(tmp_path, results=tmp_path / "sub" / ".." / "out")
    assert [path.relative_to(tmp_path).as_posix() for path in found.images] == ["a.png", "sub/b.dcm"]
    assert found.left_out == {
        "hidden": [".cache", ".hidden.png"],
        "index of a DICOM disc": ["DICOMDIR"],
        "no image": ["lost.txt", "pipe.png", "sub/t.txt", "t.csv"],
        "results of this program": ["drawn.png", "out"],
    }


@pytest.mark.parametrize("results", ["out", "link", "deep/../out", "OUT"])
def test_the_folder_of_the_results_is_not_searched(tmp_path, results):
    touch(tmp_path, "a.png", "deep/b.png", "out/a.png")
    (tmp_path / "link").symlink_to(tmp_path / "out")
    same = results != "OUT" or (tmp_path / "OUT").exists()  # does the file system know upper from lower case?
    found = [path.name for path in search_folder(tmp_path, tmp_path / results).images]
    assert found == (["a.png", "b.png"] if same else ["a.png", "b.png", "a.png"])


def test_a_folder_that_is_its_own_folder_of_results_is_searched(tmp_path):
    touch(tmp_path, "a.png")
    assert len(search_folder(tmp_path, tmp_path / ".").images) == 1


def test_links(tmp_path):
    root = tmp_path / "root"
    touch(root, "a/1.png")
    touch(tmp_path, "outside/2.png")
    (root / "a" / "loop").symlink_to(root)
    (root / "b").symlink_to(tmp_path / "outside")
    (root / "3.png").symlink_to(root / "a" / "1.png")
    (root / "lost.png").symlink_to(root / "nowhere.png")
    (root / "lost.txt").symlink_to(root / "nowhere.txt")
    assert names_of(root) == ["3.png", "a/1.png", "b/2.png", "lost.png"]


def test_links_in_a_circle(tmp_path):
    touch(tmp_path, "1.png")
    (tmp_path / "a.png").symlink_to(tmp_path / "b.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "c").symlink_to(tmp_path / "c")
    assert names_of(tmp_path) == ["1.png", "a.png", "b.png"]
    with pytest.raises(ImageError, match=r"a\.png does not exist: check the path of the image\.$"):
        read_radiograph(tmp_path / "a.png")


def test_folders_nested_very_deep(tmp_path):
    made = [tmp_path]
    for _ in range(1200):
        made.append(made[-1] / "d")
        made[-1].mkdir()
    (made[-1] / "1.png").touch()
    try:
        assert names_of(tmp_path) == [f"{'d/' * 1200}1.png"]
    finally:  # what clears up after the tests is recursive
        (made[-1] / "1.png").unlink()
        for folder in reversed(made[1:]):
            folder.rmdir()


def test_a_subfolder_that_may_not_be_opened(tmp_path):
    touch(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "b").chmod(0)

    def look():
        assert names_of(tmp_path) == ["a/1.png", "b"]
        with pytest.raises(ImageError, match=r"b cannot be opened \(Permission denied\): check its path and perm"):
            read_radiograph(tmp_path / "b")

    as_nobody(look, tmp_path)


def test_one_file_is_a_list_of_one(tmp_path):
    touch(tmp_path, "a.png")
    assert search_folder(str(tmp_path / "a.png")).images == [tmp_path / "a.png"]


def test_nothing_found(tmp_path):
    with pytest.raises(ImageError, match=r"absent does not exist: check the path of the images\.$"):
        search_folder(tmp_path / "absent")
    touch(tmp_path, "a.csv")
    with pytest.raises(ImageError, match=r"has no image in it: put DICOM, .*\.$"):
        search_folder(tmp_path)


@pytest.mark.parametrize(
    ("paths", "ids"),
    [
        (["a.png", "b.nii.gz", "c/d.dcm"], ["a", "b", "d"]),
        (["1.2.840.1", "1.2.840.2"], ["1.2.840.1", "1.2.840.2"]),
        (["x/1.png", "y/1.png", "2.png"], ["x__1", "y__1", "2"]),
        (["x/1.png", "x/1.jpg", "y/1.png"], ["x__1.png", "x__1.jpg", "y__1"]),
        (["1.png", "1.jpg"], ["1.png", "1.jpg"]),
        (["Case.png", "sub/case.png"], ["Case", "sub__case"]),
    ],
)
def test_ids(tmp_path, paths, ids):
    assert image_ids([tmp_path / path for path in paths], tmp_path) == ids


@pytest.mark.parametrize(
    "names",
    [
        ["a", "a.mrk", "A.MRK", "a_mrk"],
        ["keypoints", "KeyPoints", "metrics", "_metrics", "landmarks", "errors", "report", "journal-0"],
        ["s1/x", "s2/x", "s1__x", "x.mrk", "s1/x.mrk"],
        ["a.sr", "a", "a.sr.dcm", "a.png.png", "a.json", "a.mrk.json"],
        ["Mu\u00f1oz", "Mun\u0303oz", "MU\u00d1OZ", "con", "CON", "con.mrk"],
        [f"{'x' * 199}.mrk", f"{'x' * 199}_mrk", f"{'x' * 300}"],
    ],
)
def test_no_two_results_have_one_name(tmp_path, names):
    ids = image_ids([tmp_path / f"{name}.dcm" for name in names], tmp_path)
    tables = ("landmarks.csv", "measurements.csv", "keypoints.json", "errors.csv", "notes.csv", "report.html")
    files = [*tables, "metrics.json", "metrics.csv", "journal-0.jsonl"]
    files += [output_path("", name, ending).name for name in ids for ending in ENDINGS.values()]
    assert len({unicodedata.normalize("NFC", name).casefold() for name in files}) == len(files)


def test_ids_that_the_paths_do_not_tell_apart(tmp_path):
    paths = [tmp_path / name for name in ("x/1.png", "x/1.jpg", "x__1.png", "x__1.jpg")]
    ids = image_ids(paths, tmp_path)
    assert len(set(ids)) == 4 and all(re.fullmatch(r"(x__)?1__[0-9a-f]{8}", name) for name in ids), ids


@pytest.mark.parametrize(
    "name",
    ["a:b.png", "what?.dcm", "con.png", " .png", "a\nb.png", "-.png", "\u202e.png", "\udcff.png", "x" * 251 + ".png"],
)
def test_every_id_can_be_a_file_name(tmp_path, name):
    paths = [tmp_path / name, tmp_path / "b" / name]
    for found in image_ids(paths, tmp_path):
        assert output_path(tmp_path, found, ".mrk.json").parent == tmp_path


def test_names_that_differ_only_beyond_what_fits_or_in_how_an_accent_is_written(tmp_path):
    long = [tmp_path / f"{'x' * 240}{number}.png" for number in range(2)]
    accents = [tmp_path / "caf\u00e9.png", tmp_path / "cafe\u0301.png"]
    for paths in (long, accents):
        ids = image_ids(paths, tmp_path)
        assert len({unicodedata.normalize("NFC", name) for name in ids}) == 2
        assert all(len(name.encode()) <= 200 for name in ids)


def test_ids_do_not_depend_on_the_order(tmp_path):
    paths = [tmp_path / name for name in ("x/1.png", "x/1.jpg", "y/1.png", "2.png", "y/2.png")]
    wanted = dict(zip(paths, image_ids(paths, tmp_path)))
    for order in itertools.permutations(paths):
        assert dict(zip(order, image_ids(order, tmp_path))) == wanted


def test_ids_of_paths_outside_the_root(tmp_path):
    assert image_ids(["/data/x/1.png", "/data/y/1.png"], tmp_path) == ["data__x__1", "data__y__1"]


def test_the_same_path_twice_is_refused(tmp_path):
    with pytest.raises(ImageError, match=r"same name in the results: name each image once\.$"):
        image_ids([tmp_path / "1.png"] * 2, tmp_path)


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
