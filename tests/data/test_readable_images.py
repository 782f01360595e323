from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monai.data import Dataset
from monai.transforms import Compose, Lambda
from PIL import Image

from bundle.data.readable import Failures, LoadRadiographd, ReadableImages


@pytest.fixture
def items(tmp_path: Path) -> list[dict[str, str]]:
    """Files 0 to 5, of which 1 and 4 are broken."""
    listed = []
    for index in range(6):
        path = tmp_path / f"{index}.png"
        if index in (1, 4):
            path.write_text("broken\n")
        else:
            grey = np.random.default_rng(index).integers(0, 255, (40, 50), np.uint8)
            Image.fromarray(grey).save(path)
        listed.append({"image": str(path), "image_id": str(index)})
    return listed


def read(items: list[dict[str, str]], read_ahead: int, *more: Any) -> tuple[list[dict[str, Any]], Failures]:
    failures = Failures()
    dataset = Dataset(items, Compose([LoadRadiographd(keys="image"), *more]))
    return list(ReadableImages(dataset, failures, read_ahead)), failures


@pytest.mark.parametrize("read_ahead", [0, 1, 3, 20])
def test_order_is_kept_and_failures_are_recorded(read_ahead: int, items: list[dict[str, str]]) -> None:
    batches, failures = read(items, read_ahead)
    assert [batch["image_id"] for batch in batches] == [["0"], ["2"], ["3"], ["5"]]
    assert all(batch["image"].shape == (1, 1, 40, 50) for batch in batches)
    assert [Path(file).name for file, _ in failures] == ["1.png", "4.png"]
    assert all(
        name in reason and reason.endswith(".") for name, reason in zip(("1.png", "4.png"), dict(failures).values())
    )


@pytest.mark.parametrize("read_ahead", [0, 2])
def test_an_error_that_is_not_the_files_fault_propagates(read_ahead: int, items: list[dict[str, str]]) -> None:
    def fail(item: dict[str, Any]) -> dict[str, Any]:
        if item["image_id"] == "3":
            raise ZeroDivisionError
        return item

    seen = []
    failures = Failures()
    dataset = Dataset(items, Compose([LoadRadiographd(keys="image"), Lambda(fail)]))
    with pytest.raises(RuntimeError) as caught:
        for batch in ReadableImages(dataset, failures, read_ahead):
            seen.append(batch["image_id"][0])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert seen == ["0", "2"]


def test_it_can_be_read_again_and_has_no_length(items: list[dict[str, str]]) -> None:
    failures = Failures()
    images = ReadableImages(Dataset(items, LoadRadiographd(keys="image")), failures)
    assert len(list(images)) == len(list(images)) == 4
    with pytest.raises(TypeError):
        len(images)  # type: ignore[arg-type]


def test_a_reader_that_stops_early_leaves_no_thread_behind(items: list[dict[str, str]]) -> None:
    import threading

    before = threading.active_count()
    batches = iter(ReadableImages(Dataset(items, LoadRadiographd(keys="image")), Failures(), read_ahead=3))
    assert next(batches)["image_id"] == ["0"]
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_no_image_at_all() -> None:
    batches, failures = read([], 1)
    assert batches == failures == []
