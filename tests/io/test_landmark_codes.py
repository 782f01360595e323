import json
from pathlib import Path
from typing import Any

import pytest

from bundle.errors import LandmarkError
from bundle.io.landmark_files.structured_report_file import LandmarkCode, read_landmark_codes

GOOD = {"value": "42575006", "scheme": "SCT", "meaning": "Sella turcica"}


def read(folder: Path, codes: Any, **more: Any) -> dict[str, LandmarkCode]:
    path = folder / "codes.json"
    path.write_text(json.dumps({"schema": "one-shot-landmarks/codes/1", "codes": codes, **more}), encoding="utf-8")
    return read_landmark_codes(path, ["sella", "nasion"])


def test_codes_by_name(tmp_path: Path) -> None:
    codes = read(tmp_path, {"sella": GOOD})
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
        read(tmp_path, codes)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_another_schema(tmp_path: Path) -> None:
    with pytest.raises(LandmarkError, match="codes/1"):
        read(tmp_path, {}, schema="one-shot-landmarks/codes/2")
