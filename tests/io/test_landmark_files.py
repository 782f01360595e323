import csv
import json
import math
import os
import time
from pathlib import Path

import numpy as np
import pytest

from bundle.errors import LandmarkError
from bundle.io.landmark_files import RowIndex, checks, read_landmark_table, read_landmarks
from bundle.records.radiograph import Radiograph, identity_pixel_to_lps

OBLIQUE = np.array([[0.02, 0.139, -80.5], [0.14, -0.01, 12.25], [0.01, -0.015, 300.0]])


def radiograph(path="/data/001.jpg", width=40, height=30, geometry=None):
    return Radiograph(
        pixels=np.zeros((height, width), np.float32),
        path=Path(path),
        pixel_to_lps=identity_pixel_to_lps() if geometry is None else geometry,
    )


def write(folder, name, content):
    path = folder / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def markups(points, **changes):
    controls = [{"label": name, "position": list(position)} for name, position in points.items()]
    return {"@schema": "s#", "markups": [{"type": "Fiducial", "controlPoints": controls, **changes}]}


def same(landmarks, names, points):
    assert landmarks.names == tuple(names)
    np.testing.assert_allclose(landmarks.points, points, atol=1e-9)


# --- CSV ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "name,x,y\na,1,2\nb,3.5,-4\nc,,nan\n",
        "NAME, X ,Y\r\na,1,2\r\n\r\nb,3.5,-4\r\nc,NaN,\r\n",
        b"\xef\xbb\xbfname;x;y\na;1;2\nb;3.5;-4\nc;;\n",
        "y\tother\tname\tx\n2\tu\ta\t1\n-4.0\t\tb\t+35e-1\n\tv\tc\t\n",
        '"name","x","y"\n"a","1","2"\n"b","3.5","-4"\n"c","",""',
        "\n\nname,x,y,\na,1,2,\nb,3.5,-4,\nc,,,\n",
    ],
)
def test_csv_of_one_image(tmp_path, content):
    landmarks = read_landmarks(write(tmp_path, "l.csv", content), radiograph())
    same(landmarks, "abc", [[1, 2], [3.5, -4], [math.nan, math.nan]])
    assert landmarks.missing.tolist() == [False, False, True]


def test_csv_names_keep_separators_quotes_and_letters(tmp_path):
    path = write(tmp_path, "l.csv", 'name,x,y\n"a, ""b""",1,2\nÄ骨,3,4\n+/-,5,6\n')
    assert read_landmarks(path, radiograph()).names == ('a, "b"', "Ä骨", "+/-")


@pytest.mark.parametrize(
    "header, names",
    [
        ("image,x1,y1,x2,y2", "12"),
        ("Image;X1;Y1;X2;Y2", "12"),
        ("image,a_x,a_y,b_b_x,b_b_y", ("a", "b_b")),
        ("IMAGE\ta_X\ta_Y\tb_X\tb_Y", "ab"),
    ],
)
def test_csv_of_many_images(tmp_path, header, names):
    separator = next(s for s in ",;\t" if s in header)
    rows = [header, "001,1,2,3,4", "", "002,5,6,,", "003,7,8,nan,NAN"]
    path = write(tmp_path, "t.csv", "\n".join(rows).replace(",", separator))
    table = read_landmark_table(path)
    assert list(table) == ["001", "002", "003"]
    same(table["001"], names, [[1, 2], [3, 4]])
    assert table["002"].missing.tolist() == table["003"].missing.tolist() == [False, True]
    same(read_landmarks(path, radiograph("/x/002.png")), names, [[5, 6], [math.nan, math.nan]])


def test_wide_columns_in_any_order_and_others_ignored(tmp_path):
    path = write(tmp_path, "t.csv", "y2,age,x1,image,y1,x2\n4,30,1,a.b,2,3\n")
    same(read_landmark_table(path)["a.b"], "12"[::-1], [[3, 4], [1, 2]])


def test_one_bad_row_does_not_hinder_another_image(tmp_path):
    path = write(tmp_path, "t.csv", "image,x1,y1\n001,1,2\n002,oops,3\n")
    same(read_landmarks(path, radiograph()), "1", [[1, 2]])
    with pytest.raises(LandmarkError, match=r"line 3 \(image '002'\), landmark '1', x: found 'oops'"):
        read_landmark_table(path)


@pytest.mark.parametrize(
    "rows, image, image_id, row",
    [
        (["001"], "/d/001.jpg", None, "001"),
        (["001.jpg"], "/d/001.jpg", None, "001.jpg"),
        (["001.JPG"], "/d/001.jpg", None, "001.JPG"),
        (["001.png"], "/d/001.jpg", None, "001.png"),
        (["1"], "/d/001.jpg", None, None),
        (["clinic_001", "001"], "/d/001.jpg", "clinic_001", "clinic_001"),
        (["001", "001.png"], "/d/001.jpg", None, "001"),
        (["a/001.jpg", "b/001.jpg"], "/d/b/001.jpg", None, "b/001.jpg"),
        (["b/001.jpg", "d/b/001.jpg"], "/d/b/001.jpg", None, "d/b/001.jpg"),
        (["C:\\old\\001.jpg"], "/d/001.jpg", None, "C:\\old\\001.jpg"),
        (["1.2.840.1", "1.2.840.2"], "/d/1.2.840.2", None, "1.2.840.2"),
        (["1.2.840.1"], "/d/1.2.840.2", None, None),
        (["1.2.840.2"], "/d/1.2.840.2.dcm", None, "1.2.840.2"),
        (["a"], "/d/a.nii.gz", None, "a"),
        ([], "/d/a.nii.gz", None, None),
        (["left/a.png", "right/a.png"], "/d/left/a.png", "left__a", "left/a.png"),
        (["left__a", "a"], "/d/left/a.png", "left__a", "left__a"),
        (["right/a.png"], "/d/left/a.png", "left__a", None),
        (["Mu\u00f1oz"], "/d/Mun\u0303oz.png", None, "Mu\u00f1oz"),
        (["Mun\u0303oz.png"], "/d/MU\u00d1OZ.png", None, "Mun\u0303oz.png"),
        (["caf\u00e9/1.png", "2.png"], "/d/cafe\u0301/1.png", None, "caf\u00e9/1.png"),
        (["..\\label\\12.jpg", "10.jpg"], "/d/12.png", None, "..\\label\\12.jpg"),
        (["left\\a.png", "right\\a.png"], "/d/RIGHT/a.png", "RIGHT__a", "right\\a.png"),
        (["Case.PNG"], "/d/case.png", None, "Case.PNG"),
        (["A.png", "a.png"], "/d/a.png", None, "a.png"),
        (["_con"], "/d/con.png", "_con", "_con"),
        (["con.png"], "/d/con.png", "_con", "con.png"),
        ([" 7 "], "/d/7.png", None, " 7 "),
    ],
)
def test_the_row_of_an_image(rows, image, image_id, row):
    assert RowIndex(rows).find(Path(image), image_id) == row


def test_rows_that_are_not_to_be_guessed():
    index = RowIndex([f"{i:03d}.png" for i in range(9)])
    assert index.find("/d/003.jpg") == "003.png"
    for rows in (["7.png", "7.tif"], ["MU\u00d1OZ", "Mun\u0303oz"], ["A.png", "a.PNG"]):
        with pytest.raises(LandmarkError, match=f"could belong to the rows '{rows[0]}', '{rows[1]}'"):
            RowIndex(rows).find(f"/d/{rows[0].partition('.')[0].swapcase()}.jpg")
    for row in ("7", "7.png"):
        with pytest.raises(LandmarkError, match=f"the row '{row}' does not say which .* name the row 'left__7'"):
            RowIndex([row]).find("/d/left/7.png", "left__7")


def test_a_hundred_thousand_rows_in_seconds(tmp_path):
    """A look-up that goes through all rows for each image would take an hour."""
    count = 100_000
    points = np.random.default_rng(0).uniform(10, 2000, (count, 4)).round(3)
    with (tmp_path / "t.csv").open("w") as file:
        file.write("image,x1,y1,x2,y2\n")
        file.writelines(f"img{i}.png,{','.join(map(str, row))}\n" for i, row in enumerate(points.tolist()))
    start = time.process_time()
    table = read_landmark_table(tmp_path / "t.csv")
    index = RowIndex(table)
    found = [index.find(f"/data/IMG{i}.jpg") for i in range(count)]
    assert time.process_time() - start < 30
    assert found == list(table)
    np.testing.assert_array_equal([table[row].points.ravel() for row in found], points)


def test_apostrophe_before_a_formula_sign_is_removed(tmp_path):
    path = write(tmp_path, "t.csv", "image,x1,y1\n'-7,1,2\n'quoted',3,4\n',5,6\n")
    assert list(read_landmark_table(path)) == ["-7", "'quoted'", "'"]


@pytest.mark.parametrize("seed", range(20))
def test_random_tables_come_back(tmp_path, seed):
    rng = np.random.default_rng(seed)
    count, images = int(rng.integers(1, 30)), int(rng.integers(1, 20))
    points = rng.normal(1000, 500, (images, count, 2))
    points[rng.random((images, count)) < 0.2] = np.nan
    alphabet = list('abcXYZ09 ,;"_äß-')
    names = [f"{''.join(rng.choice(alphabet, 4))}{i}" for i in range(count)]
    names = [name.strip() for name in names]
    with (tmp_path / "t.csv").open("w", newline="", encoding=rng.choice(["utf-8", "utf-8-sig"])) as file:
        writer = csv.writer(file, delimiter=str(rng.choice(list(",;\t"))), quoting=csv.QUOTE_ALL if seed % 2 else 0)
        writer.writerow(["image", *(f"{name}_{axis}" for name in names for axis in "xy")])
        for i in range(images):
            writer.writerow([f"{i:04d}", *("" if np.isnan(v) else repr(float(v)) for v in points[i].ravel())])
    table = read_landmark_table(tmp_path / "t.csv")
    for i in range(images):
        same(table[f"{i:04d}"], names, points[i])


def test_folder_as_table(tmp_path):
    write(tmp_path, "b.json", {"p": [3, 4]})
    write(tmp_path, "a.json", {"landmarks": [{"name": "p", "x": 1, "y": 2}]})
    write(tmp_path, "a.mrk.json", markups({"p": (1, 2, 0)}))
    write(tmp_path, "landmarks.csv", "image,x1,y1\na,1,2\n")
    table = read_landmark_table(tmp_path)
    assert list(table) == ["a", "b"]
    same(table["b"], "p", [[3, 4]])
    for name in ("a.json", "b.json", "landmarks.csv"):
        (tmp_path / name).unlink()
    with pytest.raises(LandmarkError, match=r"holds no \.json and no \.csv"):
        read_landmark_table(tmp_path)
    write(tmp_path, "c.csv", "name,x,y\np,5,6\n")
    same(read_landmark_table(tmp_path)["c"], "p", [[5, 6]])
    write(tmp_path, "d.csv", "image,x1,y1\na,1,2\n")
    with pytest.raises(LandmarkError, match=r"d.csv is a table of many images"):
        read_landmark_table(tmp_path)


# --- JSON and 3D Slicer ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        {"landmarks": [{"name": "a", "x": 1, "y": 2.5, "z": 9}, {"name": "b", "x": None, "y": None}], "more": 1},
        {"a": [1, 2.5], "b": None},
        {"a": [1, 2.5], "b": [None, None]},
        '{"a": [1, 2.5], "b": [NaN, NaN]}',
        b'\xef\xbb\xbf{"a": [1, 25e-1], "b": null}',
    ],
)
def test_json(tmp_path, content):
    same(read_landmarks(write(tmp_path, "l.json", content), radiograph()), "ab", [[1, 2.5], [math.nan, math.nan]])


@pytest.mark.parametrize("system", [None, "LPS", "RAS"])
@pytest.mark.parametrize("unit", [None, "mm", "um", ["mm", "UCUM", "millimeter"]])
@pytest.mark.parametrize("ending", [".mrk.json", ".json", ".MRK.JSON"])
def test_slicer(tmp_path, system, unit, ending):
    points = np.array([[0, 0], [39, 29], [12.5, -3]])
    positions = np.column_stack([points, np.ones(3)]) @ OBLIQUE.T
    positions = positions * ([-1, -1, 1] if system == "RAS" else [1, 1, 1]) * (1000 if unit == "um" else 1)
    changes = {key: value for key, value in (("coordinateSystem", system), ("coordinateUnits", unit)) if value}
    document = markups(dict(zip("abc", positions.tolist())), **changes)
    document["markups"][0]["controlPoints"] += [
        {"label": "d", "position": [0, 0, 0], "positionStatus": "undefined"},
        {"label": "e", "positionStatus": "preview"},
        {"label": "f", "position": [0, 0, 0], "positionStatus": "missing"},
        {"label": "g", "position": [None, None, None], "positionStatus": "missing", "selected": False},
    ]
    document["markups"].append({"type": "Line"})
    landmarks = read_landmarks(write(tmp_path, f"l{ending}", document), radiograph(geometry=OBLIQUE))
    same(landmarks, "abcdefg", [*points, *[[math.nan] * 2] * 4])


def test_slicer_point_beside_the_plane_is_projected(tmp_path):
    normal = np.cross(OBLIQUE[:, 0], OBLIQUE[:, 1])
    normal *= 0.3 / np.linalg.norm(normal)
    position = OBLIQUE @ [7, 8, 1] + normal
    path = write(tmp_path, "l.mrk.json", markups({"a": position.tolist()}))
    same(read_landmarks(path, radiograph(geometry=OBLIQUE)), "a", [[7, 8]])


# --- What is no pixel -----------------------------------------------------------------------------------------------

IMAGES = {"l.csv": "name,x,y\na,{},{}\nb,30,20\n", "t.csv": "image,a_x,a_y,b_x,b_y\n001,{},{},30,20\n"}
IMAGES |= {"l.json": '{{"a": [{}, {}], "b": [30, 20]}}'}
IMAGES |= {"m.json": '{{"landmarks": [{{"name": "a", "x": {}, "y": {}}}, {{"name": "b", "x": 30, "y": 20}}]}}'}


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("pair", [("-1", "-1"), ("-1.0", "-1.000")])
def test_minus_one_twice_is_a_missing_landmark(tmp_path, name, pair):
    found = read_landmarks(write(tmp_path, name, IMAGES[name].format(*pair)), radiograph())
    same(found, "ab", [[math.nan] * 2, [30, 20]])


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("pair", [("-1", "20"), ("-2", "-2"), ("0", "0"), ("-1", "-1.5"), ("1", "-1")])
def test_other_negative_numbers_are_points(tmp_path, name, pair):
    found = read_landmarks(write(tmp_path, name, IMAGES[name].format(*pair)), radiograph())
    same(found, "ab", [[float(value) for value in pair], [30, 20]])


def test_a_point_of_slicer_may_lie_at_minus_one(tmp_path):
    same(read_landmarks(write(tmp_path, "l.mrk.json", markups({"a": (-1, -1, 0)})), radiograph()), "a", [[-1, -1]])


SHARES = {
    "l.csv": "name,x,y\na,0.25,0.5\nb,0.75,0.125\nc,,\n",
    "t.csv": "image,x1,y1,x2,y2\n001,0.25,0.5,1,0\n002,30,40,50,60\n",
    "l.json": {"a": [0.25, 0.5], "b": None},
    "m.json": {"landmarks": [{"name": "a", "x": 0, "y": 0.5}, {"name": "b", "x": -1, "y": -1}]},
    "r.json": {"schema": "one-shot-landmarks/result/2", "width": 40, "height": 30, "landmarks": [
        {"name": "a", "x": 0.4, "y": 0.1}
    ]},
}  # fmt: skip


@pytest.mark.parametrize("name", SHARES)
def test_shares_of_the_sides_are_no_pixels(tmp_path, name):
    path = write(tmp_path, name, SHARES[name])
    with pytest.raises(
        LandmarkError, match=r"all landmarks lie within one pixel, as shares .* multiply x by the width"
    ):
        read_landmarks(path, radiograph())
    if name == "t.csv":
        with pytest.raises(LandmarkError, match=r"line 2 \(image '001'\): all landmarks lie within one pixel"):
            read_landmark_table(path)


PERCENT = {
    "l.csv": "name,x,y\na,25,50\nb,75.5,12\nc,100,0\n",
    "t.csv": "image,x1,y1,x2,y2,x3,y3,x4,y4\n001,25,50,75,12.5,3,4,,\n",
    "l.json": {"a": [25.5, 50], "b": [12, 13], "c": [2, 3]},
}


@pytest.mark.parametrize("name", PERCENT)
def test_percentages_of_the_sides_are_no_pixels_of_a_large_image(tmp_path, name):
    path = write(tmp_path, name, PERCENT[name])
    with pytest.raises(LandmarkError, match="lie within the first hundred pixels, as percentages of the sides do"):
        read_landmarks(path, radiograph(width=1000, height=1200))
    assert len(read_landmarks(path, radiograph(width=999, height=1200))) >= 3


@pytest.mark.parametrize("content", [{"a": [0, 0]}, {"a": [1, 0], "b": [0, 1]}, {"a": [0.5, 1.5]}, {"a": [-0.4, 0.3]}])
def test_points_in_the_corner_are_pixels(tmp_path, content):
    assert len(read_landmarks(write(tmp_path, "l.json", content), radiograph(width=2000, height=2000))) == len(content)


# --- Errors ---------------------------------------------------------------------------------------------------------

POINT = {"label": "a", "position": [1, 2, 0]}

BAD = {
    "unknown ending": ("l.txt", "1,2", r"the ending \.txt, but a landmark file must end in"),
    "no ending": ("landmarks", "1,2", r"must end in \.mrk\.json, \.json, \.csv"),
    "empty": ("l.csv", "", "is empty"),
    "blank": ("l.json", " \n\n", "is empty"),
    "only separators": ("l.csv", ",,\n,,\n", "is empty"),
    "no header": ("l.csv", "001,829,991,1465,1035\n", "found the columns .* but exactly one called name was expected"),
    "missing column": ("l.csv", "name,x\na,1\n", "exactly one called y was expected"),
    "header only": ("l.csv", "name,x,y\n", "there is no landmark"),
    "wide header only": ("l.csv", "image,x1,y1\n", "header but no row"),
    "no coordinates": ("l.csv", "image,age\n001,3\n", "no landmark columns"),
    "mixed columns": (
        "l.csv",
        "image,x1,y1,sella_x,sella_y\n001,1,2,3,4\n",
        "such as 'y1' and columns of landmarks such as 'sella_y'",
    ),
    "mixed the other way": (
        "l.csv",
        "image,a_x,a_y,X2,Y2\n001,1,2,3,4\n",
        "such as 'a_y' and columns of landmarks such as 'Y2'",
    ),
    "odd coordinates": ("l.csv", "image,x1,y1,x2\n001,1,2,3\n", "landmark '2' has a column of x alone"),
    "odd named coordinates": ("l.csv", "image,a_y\n001,1\n", "landmark 'a' has a column of y alone"),
    "same column": ("l.csv", "image,x1,y1,X1\n001,1,2,3\n", "line 1: the column 'X1' occurs more than once"),
    "same image column": ("l.csv", "image,x1,y1,Image\n001,1,2,3\n", "exactly one called image was expected"),
    "same name column": ("l.csv", "name,x,y,y\na,1,2,3\n", "exactly one called y was expected"),
    "short row": ("l.csv", "image,x1,y1\n001,1\n", "line 2: found 2 cells, but the header has 3"),
    "long row": ("l.csv", "name,x,y\na,1,5,2,5\n", "line 2: found 5 cells"),
    "text": ("l.csv", "name,x,y\na,1,two\n", "line 2, landmark 'a', y: found 'two' where a finite number"),
    "decimal comma": ("l.csv", "name;x;y\na;1,5;2\n", "found '1,5' .* write the decimals after a point"),
    "underscore": ("l.csv", "name,x,y\na,1_0,2\n", "found '1_0' where a finite number"),
    "infinite": ("l.csv", "name,x,y\na,-inf,2\n", "found '-inf' where a finite number"),
    "overflow": ("l.csv", "name,x,y\na,1e999,2\n", "found '1e999' where a finite number"),
    "half a point": (
        "l.csv",
        "name,x,y\na,1,\n",
        r"landmark a has the coordinates \[1.0, nan\]: two finite numbers .* or none",
    ),
    "no name": ("l.csv", "name,x,y\n ,1,2\n", "number 1 has no name"),
    "same name": (
        "l.csv",
        "name,x,y\na,1,2\nb,1,2\na,3,4\n",
        "the landmark name 'a' is used more than once",
    ),
    "same image": ("l.csv", "image,x1,y1\n001,1,2\n001,3,4\n", "name '001' is empty or already has a row"),
    "no image name": ("l.csv", "image,x1,y1\n001,1,2\n,3,4\n", "line 3: the image name '' is empty"),
    "image not there": ("l.csv", "image,x1,y1\n1,1,2\n2,3,4\n", "no row for the image 001.jpg; its rows are '1', '2'"),
    "ambiguous": ("l.csv", "image,x1,y1\n001.png,1,2\n001.tif,3,4\n", "could belong to the rows '001.png', '001.tif'"),
    "huge cell": ("l.csv", "name,x,y\n" + "a" * 140_000 + ",1,2\n", "line 2: the line is no valid CSV"),
    "latin-1": ("l.csv", "name,x,y\nnäsion,1,2\n".encode("latin-1"), "not UTF-8 text .*0xe4"),
    "utf-16": ("l.csv", "name,x,y\na,1,2\n".encode("utf-16"), "not UTF-8"),
    "utf-16 without mark": ("l.csv", "name,x,y\na,1,2\n".encode("utf-16-le"), "zero bytes"),
    "no json": ("l.json", "{'a': [1, 2]}", "line 1: the file is no valid JSON"),
    "cut json": ("l.json", '{"a": [1, 2],\n "b": [3', "line 2: the file is no valid JSON"),
    "deep json": ("l.json", "[" * 200_000, "nested too deep"),
    "deep value": (
        "l.json",
        '{"a": ' + "[" * 400 + "]" * 400 + "}",
        r"a\[0\] is \[\[\[\.\.\.\]\]\], expected a number",
    ),
    "long number": ("l.json", '{"a": [1, ' + "9" * 5000 + "]}", "too many digits"),
    "big number": ("l.json", '{"a": [1, ' + "9" * 400 + "]}", r"a\[1\] is 9+\.\.\.9+, expected a number"),
    "list on top": ("l.json", "[1, 2]", "at the top of the file; expected"),
    "list as landmarks": ("l.json", {"landmarks": {"a": 1}}, "landmarks is {'a': 1}, expected a list"),
    "no x": ("l.json", {"landmarks": [{"name": "a", "y": 1}]}, r"landmarks\['a'\]\.x is missing"),
    "number as name": (
        "l.json",
        {"landmarks": [{"name": 1, "x": 1, "y": 1}]},
        r"landmarks\[0\]\.name is 1, expected text",
    ),
    "text in json": ("l.json", {"a": ["1", 2]}, r"a\[0\] is '1', expected a number"),
    "truth in json": ("l.json", {"a": [True, 2]}, r"a\[0\] is True, expected a number"),
    "infinite json": ("l.json", '{"a": [1, Infinity]}', r"a\[1\] is inf, expected a finite number"),
    "half json": ("l.json", {"a": [1, None]}, r"landmark a has the coordinates \[1.0, nan\]"),
    "three numbers": ("l.json", {"a": [1, 2, 3]}, r"a is \[1, 2, 3\], expected at most 2"),
    "same json name": ("l.json", '{"a": [1, 2], "a": [3, 4]}', "'a' is used more than once"),
    "same listed name": ("l.json", {"landmarks": [{"name": n, "x": 1, "y": 2} for n in "aa"]}, "'a' is used more"),
    "empty name": ("l.json", {"": [1, 2]}, "number 1 has no name"),
    "no landmark": ("l.json", {}, "there is no landmark"),
    "later version": ("l.json", {"schema": "one-shot-landmarks/result/4", "landmarks": []}, "schema .*result/4"),
    "other size": (
        "l.json",
        {
            "schema": "one-shot-landmarks/result/1",
            "width": 3,
            "height": 4,
            "landmarks": [{"name": "a", "x": 1, "y": 1}],
        },
        "an image of 3 x 4 pixels, but the image has 40 x 30",
    ),
    "too many": ("l.json", {str(i): [1, 2] for i in range(10_001)}, "expected at most 10000 items"),
    "too many listed": ("l.json", {"landmarks": [0] * 10_001}, "landmarks is .* at most 10000 items"),
    "too many rows": ("l.csv", "name,x,y\n" + "".join(f"{i},1,2\n" for i in range(10_001)), "more than the 10000"),
    "no markups": ("l.mrk.json", {"a": [1, 2]}, 'found no "markups"'),
    "markups no list": ("l.mrk.json", {"markups": 3}, "markups is 3, expected a list"),
    "no point list": ("l.mrk.json", {"markups": [{"type": "Line"}]}, "found 0 point lists .*'Line'"),
    "two point lists": ("l.mrk.json", {"markups": [{"type": "Fiducial"}] * 2}, "found 2 point lists"),
    "no points": ("l.mrk.json", markups({}), "there is no landmark"),
    "points no list": ("l.mrk.json", markups({}, controlPoints="x"), "controlPoints is 'x', expected a list"),
    "point no object": ("l.mrk.json", markups({}, controlPoints=[3]), r"controlPoints\[0\] is 3, expected an object"),
    "other system": (
        "l.mrk.json",
        markups({"a": (1, 2, 0)}, coordinateSystem="XYZ"),
        "coordinateSystem is 'XYZ', expected 'LPS' or 'RAS'",
    ),
    "other unit": (
        "l.mrk.json",
        markups({"a": (1, 2, 0)}, coordinateUnits="inch"),
        "coordinateUnits is 'inch', expected 'mm' or 'um'",
    ),
    "empty label": ("l.mrk.json", markups({" ": (1, 2, 0)}), "number 1 has no name"),
    "same label": ("l.mrk.json", markups({}, controlPoints=[POINT, POINT]), "'a' is used more than once"),
    "two numbers": ("l.mrk.json", markups({"a": (1, 2)}), r"position is \[1, 2\], expected at least 3"),
    "null position": ("l.mrk.json", markups({"a": (1, 2, None)}), "is not three numbers"),
    "infinite position": ("l.mrk.json", markups({"a": (1, 2, math.inf)}), r"position\[2\] is inf, expected a finite"),
    "other status": (
        "l.mrk.json",
        markups({}, controlPoints=[{**POINT, "positionStatus": "x"}]),
        "positionStatus is 'x', expected 'defined', 'undefined', 'preview' or 'missing'",
    ),
    "off the plane": ("l.mrk.json", markups({"a": (1, 2, 50)}), "lies 50 mm off the plane of the image 001.jpg"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_refused_in_one_sentence(tmp_path, case):
    name, content, message = BAD[case]
    path = write(tmp_path, name, content)
    with pytest.raises(LandmarkError, match=message) as caught:
        read_landmarks(path, radiograph())
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text and text.endswith(".") and len(text) < 600


def test_every_bad_file_is_refused_as_a_table_too(tmp_path):
    for number, (name, content, _) in enumerate(BAD.values()):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = write(folder, name, content)
        for target in (path, folder):
            try:
                read_landmark_table(target)
            except LandmarkError as error:
                assert "\n" not in str(error)


def test_file_limits(tmp_path, monkeypatch):
    with pytest.raises(LandmarkError, match="there is no file"):
        read_landmarks(tmp_path / "gone.csv", radiograph())
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(LandmarkError, match="is no plain file"):
        read_landmarks(tmp_path / "folder.csv", radiograph())
    with pytest.raises(LandmarkError, match="table of many was expected"):
        read_landmark_table(write(tmp_path, "l.csv", "name,x,y\na,1,2\n"))
    with pytest.raises(LandmarkError, match="table of many was expected"):
        read_landmark_table(write(tmp_path, "l.json", {"a": [1, 2]}))
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.truncate(checks.MAX_FILE_BYTES + 1)
    with pytest.raises(LandmarkError, match=r"64 MB, more than the 64 MB"):
        read_landmarks(path, radiograph())


def test_image_without_geometry_for_slicer(tmp_path):
    path = write(tmp_path, "l.mrk.json", markups({"a": (1, 2, 0)}))
    for geometry in (np.zeros((3, 3)), np.full((3, 3), np.nan)):
        with pytest.raises(LandmarkError, match="no usable position in space"):
            read_landmarks(path, radiograph(geometry=geometry))


@pytest.mark.real_data
@pytest.mark.skipif("OSL_REAL_DATA" not in os.environ, reason="OSL_REAL_DATA names no folder of real radiographs")
def test_real_tables():
    folder = Path(os.environ["OSL_REAL_DATA"])
    for name, images, count, first in (
        ("isbi2015/landmarks_mean.csv", 150, 19, "001"),
        ("isbi2015/landmarks_junior.csv", 150, 19, "001"),
        ("isbi2015/landmarks_senior.csv", 150, 19, "001"),
        ("hand/landmarks.csv", 5, 37, "3167"),
    ):
        table = read_landmark_table(folder / name)
        assert len(table) == images and next(iter(table)) == first
        assert all(landmarks.names == tuple(map(str, range(1, count + 1))) for landmarks in table.values())
        image = radiograph(folder / f"images/{first}.jpg")
        np.testing.assert_array_equal(read_landmarks(folder / name, image).points, table[first].points)
