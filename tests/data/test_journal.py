"""What a journal gives back, what it does not take for its own and never writes over; plans, fingerprints of runs."""

import copy
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.bundle.utils import DEFAULT_MLFLOW_SETTINGS

from bundle.data.cases import CHECKSUMS, Cases, ResultFolder
from bundle.data.journal import WITHOUT_EFFECT, Finding, Journal, configuration_fingerprint, run_fingerprint, show_plan
from bundle.data.readable import Failures
from bundle.errors import BundleError, ConfigError
from bundle.writers.result_json import result_json
from tests.workflows.running import CONFIGS, at_bundle_root
from tests.writers.test_result_writers import prediction


@pytest.fixture
def cases(tmp_path: Path) -> Cases:
    items = []
    for name in "abcd":
        path = tmp_path / f"{name}.png"
        path.write_text(name)
        items.append({"image": str(path), "image_id": name, "label": np.array([[1.5, 2.5]])})
    return Cases(items)


def journal_of(folder: Path, cases: Cases, writers: tuple[str, ...] = (), **settings: Any) -> Journal:
    results = ResultFolder(folder / "out", tables={"landmarks.csv": True}, writers=writers)
    return Journal(results, cases, str({"model": 1, **settings}))


def note(journal: Journal, name: str, seed: int | None = None) -> None:
    found = prediction(ord(name) if seed is None else seed, image_id=name)
    files = {"json": result_json(found).encode()} if journal.results.endings else {}
    journal.append(found, 0.5, files)


def begin(folder: Path, cases: Cases, *ids: str, **settings: Any) -> Journal:
    """A run that was killed after these images: its lock is gone with it."""
    journal = journal_of(folder, cases, **settings)
    journal.open()
    for name in ids:
        note(journal, name)
    journal._lock.release()
    return journal


def left(journal: Journal) -> list[str]:
    return [item["image_id"] for item in journal.remaining]


def points(found: list[Finding]) -> dict[str, np.ndarray]:
    return {one.prediction.image_id: one.prediction.points for one in found}


@pytest.mark.parametrize("writers", [(), ("json",)])
def test_a_run_goes_on_where_it_stopped(
    writers: tuple[str, ...], tmp_path: Path, cases: Cases, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(tmp_path, cases, "c", "a", writers=writers)
    again = journal_of(tmp_path, cases, writers=writers)
    assert (left(again), again.done) == (["b", "d"], 2)
    assert "2 of 4 images" in capsys.readouterr().out
    again.open()
    for name in "db":
        note(again, name)
    assert again.count_new() == 2
    found, failures = again.merge(Failures())
    assert list(points(found)) == list("abcd") and len(failures) == 0
    for name, there in points(found).items():
        np.testing.assert_array_equal(there, prediction(ord(name)).points.round(3))
    assert {one.seconds for one in found} == {0.5} and found[0].prediction.path == tmp_path / "a.png"
    again.finish()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        CHECKSUMS,
        *(f"{n}.json" for n in "abcd" if writers),
    }
    assert left(journal_of(tmp_path, cases, writers=writers)) == list("abcd"), "a complete run starts afresh"


@pytest.mark.parametrize("lost", [1, 10, 600])
def test_a_note_that_is_torn(lost: int, tmp_path: Path, cases: Cases) -> None:
    """No kill leaves one, for notes appear whole, but a disk may."""
    path = begin(tmp_path, cases, "a", "b").folder / "b.json"
    path.write_bytes(path.read_bytes()[:-lost])
    assert left(journal_of(tmp_path, cases)) == ["b", "c", "d"]


def test_the_journal_of_another_run(tmp_path: Path, cases: Cases, capsys: pytest.CaptureFixture[str]) -> None:
    begin(tmp_path, cases, "a", "b")
    other = journal_of(tmp_path, cases, model=2)
    assert left(other) == list("abcd")
    told = capsys.readouterr().out
    assert len(told.splitlines()) == 1 and "other settings" in told
    other.open()
    assert left(journal_of(tmp_path, cases)) == list("abcd"), "it is gone"


def test_an_image_that_has_changed_is_done_again(tmp_path: Path, cases: Cases) -> None:
    begin(tmp_path, cases, *"abcd")
    os.utime(cases.items[0]["image"], ns=(1, 1))
    cases.items[1]["label"] = np.array([[1.5, 2.0]])
    cases.items[2]["pixel_spacing"] = 0.1
    again = journal_of(tmp_path, cases)
    assert left(again) == list("abc")
    again.open()
    for name in "abc":
        note(again, name, seed=7)
    found = points(again.merge(Failures())[0])
    assert [float(found[name][0, 0]) for name in "abcd"] == [
        *[prediction(7).points[0, 0].round(3)] * 3,
        prediction(100).points[0, 0].round(3),
    ]


def test_images_that_came_and_went(tmp_path: Path, cases: Cases) -> None:
    begin(tmp_path, cases, "a", "b")
    cases.items = cases.items[1:]
    again = journal_of(tmp_path, cases)
    assert (left(again), again.done) == (["c", "d"], 1)


def test_results_that_a_rank_does_not_see(tmp_path: Path, cases: Cases) -> None:
    again = begin(tmp_path, cases, "b")
    with pytest.raises(BundleError, match="have done 4"):
        again.merge(Failures())
    failures = Failures(
        [
            ("x/e", "late"),
            *((cases.items[i]["image"], f"{i} is broken.") for i in (3, 2)),
            (cases.items[0]["image"], "a."),
        ]
    )
    found, sorted_failures = again.merge(failures)
    assert list(points(found)) == ["b"]
    assert [Path(file).name for file, _ in sorted_failures] == ["a.png", "c.png", "d.png", "e"]


def test_a_folder_that_cannot_be_made(tmp_path: Path, cases: Cases) -> None:
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(BundleError, match="cannot be used"):
        journal_of(tmp_path, cases).open()


def test_processes_without_the_overlay(tmp_path: Path, cases: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    journal_of(tmp_path, cases)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    with pytest.raises(ConfigError, match=r"multi_gpu_inference\.json"):
        journal_of(tmp_path, cases)


def test_two_runs_do_not_write_into_one_folder(tmp_path: Path, cases: Cases) -> None:
    first = journal_of(tmp_path, cases)
    first.open()
    with pytest.raises(ConfigError, match="is in use by another run"):
        journal_of(tmp_path, cases).open()
    note(first, "a")
    first.merge(Failures([(item["image"], ".") for item in cases.items[1:]]))
    first.finish()
    journal_of(tmp_path, cases).open()


def test_a_link_in_the_place_of_a_note_is_not_followed(tmp_path: Path, cases: Cases) -> None:
    (tmp_path / "out" / ".run").mkdir(parents=True)
    (tmp_path / "precious").write_text("old")
    for name in ("a.json", "lock"):
        (tmp_path / "out" / ".run" / name).symlink_to(tmp_path / "precious")
    with pytest.raises(BundleError, match="cannot be used"):
        journal_of(tmp_path, cases).open()
    (tmp_path / "out" / ".run" / "lock").unlink()
    begin(tmp_path, cases, "a")
    assert (tmp_path / "precious").read_text() == "old"


@pytest.mark.parametrize("line", [b'{"image_id": []}', b"[" * 100_000, b"\xff\xfe", b"null"])
def test_notes_that_nobody_wrote(line: bytes, tmp_path: Path, cases: Cases) -> None:
    (begin(tmp_path, cases, "b").folder / "a.json").write_bytes(line)
    assert left(journal_of(tmp_path, cases)) == list("acd")


class TestWhatSomebodyChanged:
    def complete(self, folder: Path, cases: Cases) -> Path:
        journal = begin(folder, cases, *"abcd", writers=("json",))
        journal.merge(Failures())
        (journal.results.path / "landmarks.csv").write_text("image,x1,y1\n")
        journal.finish()
        return journal.results.path

    @pytest.mark.parametrize("name", ["b.json", "landmarks.csv"])
    def test_after_a_complete_run(self, name: str, tmp_path: Path, cases: Cases) -> None:
        out = self.complete(tmp_path, cases)
        begin(tmp_path, cases, "a", writers=("json",))
        out = self.complete(tmp_path, cases)
        (out / name).write_text("corrected by hand")
        again = journal_of(tmp_path, cases, writers=("json",))
        assert again.edited == [name]
        with pytest.raises(ConfigError, match=f"holds {name}, changed by somebody since a run wrote it: move it"):
            again.open()
        assert (out / name).read_text() == "corrected by hand" and not (out / ".run").exists()
        (out / name).rename(tmp_path / "mine")
        journal_of(tmp_path, cases, writers=("json",)).open()

    def test_in_a_run_that_was_killed(self, tmp_path: Path, cases: Cases) -> None:
        out = begin(tmp_path, cases, "a", "b", writers=("json",)).results.path
        (out / "b.json").write_text("corrected by hand")
        assert journal_of(tmp_path, cases, writers=("json",)).edited == ["b.json"]
        (out / "b.json").unlink()
        assert left(journal_of(tmp_path, cases, writers=("json",))) == list("bcd"), "what is lost is done again"

    def test_a_run_killed_between_a_note_and_its_file(self, tmp_path: Path, cases: Cases) -> None:
        out = self.complete(tmp_path, cases)
        old = (out / "b.json").read_bytes()
        journal = journal_of(tmp_path, cases, writers=("json",), model=2)
        journal.open()
        note(journal, "b", seed=5)
        (out / "b.json").write_bytes(old)
        (out / "landmarks.csv").write_text("written, but not noted")
        journal._lock.release()
        for model in (1, 2):
            again = journal_of(tmp_path, cases, writers=("json",), model=model)
            assert again.edited == [] and left(again) == list("abcd")

    def test_the_fingerprints_are_those_of_sha256sum(self, tmp_path: Path, cases: Cases) -> None:
        out = self.complete(tmp_path, cases)
        lines = (out / CHECKSUMS).read_text().splitlines()
        assert [line[64:] for line in lines] == ["  a.json", "  b.json", "  c.json", "  d.json", "  landmarks.csv"]


WORKFLOWS = ("train", "train_decoders", "inference", "evaluate")


def read(*names: str, **override: Any) -> dict[str, Any]:
    with at_bundle_root():
        parser = ConfigParser()
        parser.read_config([f"configs/{name}.json" for name in names])
        parser.update(override)
        parser.parse()
    return parser.config


def leaves(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    inside = [leaf for key, value in items for leaf in leaves(value, (*path, key))]
    yield from inside or [path]


def changed(config: dict[str, Any], path: tuple[Any, ...]) -> dict[str, Any]:
    other = copy.deepcopy(config)
    node = other
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = ["something else", node[path[-1]]]
    return other


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_value_counts_but_those_that_are_known_not_to(name: str) -> None:
    config = read(name)
    before = configuration_fingerprint(config)
    same = {path for path in leaves(config) if configuration_fingerprint(changed(config, path)) == before}
    assert same == {path for path in leaves(config) if path[0] in WITHOUT_EFFECT or path[1:2] == ("handlers",)}
    assert configuration_fingerprint({**config, "new": 1}) != before
    assert configuration_fingerprint(copy.deepcopy(config)) == before


@pytest.mark.parametrize(
    "override",
    [
        {"train#loss": {"_target_": "bundle.training.losses.OneHotSimilarityLoss"}},
        {"train#loss#sigma": 3.0},
        {"optimizer#_target_": "torch.optim.SGD"},
        {"optimizer#weight_decay": 0.1},
        {"train_global#trainer#optimizer": "$lambda parameters: torch.optim.SGD(parameters, lr=0.5)"},
        {"train#preprocessing#transforms#0#rotate_range": 0.2},
        {"train#trainer#amp": True},
        {"train#stage#jitter": 1},
        {"network#encoder#name": "vit_tiny_patch16_224"},
    ],
    ids=lambda override: next(iter(override)),
)
def test_what_a_command_line_can_change(override: dict[str, Any]) -> None:
    assert configuration_fingerprint(read("train_decoders", "paper", **override)) != configuration_fingerprint(
        read("train_decoders", "paper")
    )


def test_overlays_count_but_not_the_devices() -> None:
    plain = configuration_fingerprint(read("evaluate"))
    assert configuration_fingerprint(read("evaluate", "hand")) != plain
    assert configuration_fingerprint(read("evaluate", "multi_gpu_evaluate")) == plain
    elsewhere = {"device": "cpu", "output_dir": Path("x"), "model_path": "y", "dry_run": True, "report": False}
    assert configuration_fingerprint(read("evaluate", **elsewhere)) == plain


def test_a_run_without_images_writes_nothing(tmp_path: Path) -> None:
    journal = Journal(ResultFolder(tmp_path / "results", [], {}), Cases([], missing="there are no images."), "")
    with pytest.raises(ConfigError, match="there are no images"):
        journal.open()
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("workflow", ["train", "train_decoders", "inference", "evaluate"])
def test_what_is_logged_does_not_count(workflow: str) -> None:
    plain = configuration_fingerprint(read(workflow))
    for settings in (CONFIGS / "tracking_tensorboard.json", CONFIGS / "tracking_mlflow.json"):
        parser = ConfigParser(read(workflow))
        ConfigWorkflow.patch_bundle_tracking(parser, ConfigParser.load_config_file(settings))
        assert "StatsHandler" in str(parser.config) or "MLFlowHandler" in str(parser.config)
        assert configuration_fingerprint(parser.config) == plain


def test_each_exception_is_a_key_of_some_workflow_or_of_tracking() -> None:
    known = {key for name in WORKFLOWS for key in json.loads((CONFIGS / f"{name}.json").read_text(encoding="utf-8"))}
    ours = json.loads((CONFIGS / "tracking_mlflow.json").read_text(encoding="utf-8"))
    known |= ours["configs"].keys() | DEFAULT_MLFLOW_SETTINGS["configs"].keys()
    assert WITHOUT_EFFECT - known == {ConfigParser.meta_key}


def test_it_is_that_of_the_configuration_that_calls() -> None:
    target = "bundle.data.journal.run_fingerprint"

    def call(**beside: Any) -> str:
        parser = ConfigParser(
            {
                "a": 1,
                "b": {"_target_": "bundle.data.journal.run_fingerprint", **beside},
                "c": {"inner": "$@b"},
                "device": "x",
            }
        )
        return parser.get_parsed_content("c")["inner"]

    assert call() == configuration_fingerprint({"a": 1, "b": {"_target_": target}, "c": {"inner": "$@b"}})
    assert call(model="$str(1)") != call(model="$str(2)")
    with pytest.raises(ConfigError, match="let a configuration file make it"):
        run_fingerprint()


@pytest.fixture
def planned(tmp_path: Path) -> Cases:
    items = []
    for name, data in (
        ("done", b"II*\0"),
        ("old", b"\x89PNG\r\n\x1a\n"),
        ("new", b"\xff\xd8\xff"),
        ("text", b"text"),
        ("lost", None),
    ):
        path = tmp_path / f"{name}.png"
        if data is not None:
            path.write_bytes(data)
        items.append({"image": str(path), "image_id": name})
    items.append({"image": str(tmp_path), "image_id": "folder"})
    return Cases(items, left_out={"hidden": [".x"]}, without_truth=["x", "y"])


def test_what_would_become_of_each_image(tmp_path: Path, planned: Cases, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    results = ResultFolder(
        out, tables={"landmarks.csv": True, "errors.csv": 1, "notes.csv": None}, writers=["json", "markups"]
    )
    journal = Journal(results, planned, "settings")
    journal.open()
    done = prediction(image_id="done")
    journal.append(done, 0.5, {"json": result_json(done).encode(), "markups": b"{}"})
    journal.append(prediction(image_id="old"), 0.5, {"json": b"{}", "markups": b"{}"})
    (out / "old.mrk.json").write_bytes(b"corrected by hand")
    (out / "errors.csv").touch()
    before = {path: path.stat().st_mtime_ns for path in [tmp_path, *tmp_path.rglob("*")]}
    show_plan(Journal(results, planned, "settings"))
    assert {path: path.stat().st_mtime_ns for path in [tmp_path, *tmp_path.rglob("*")]} == before
    told = [
        re.sub(r"(could not be used: )\S+ (.*?)( that can be read.*|:.*)", r"\1\2", line)
        for line in capsys.readouterr().out.splitlines()
    ]
    assert told[1:] == [
        f"{tmp_path}/done.png -> done.json, done.mrk.json: done already",
        f"{tmp_path}/old.png -> old.json, old.mrk.json: would be done anew, replacing its files",
        f"{tmp_path}/new.png -> new.json, new.mrk.json: would be done",
        f"{tmp_path}/text.png -> text.json, text.mrk.json: could not be used: is named .png but holds no image",
        f"{tmp_path}/lost.png -> lost.json, lost.mrk.json: could not be used: does not exist",
        f"{tmp_path} -> folder.json, folder.mrk.json: could not be used: is not a file",
        ".x: hidden",
        "x: left out, it has no true landmarks",
        "y: left out, it has no true landmarks",
        f"{out}/old.mrk.json: changed by somebody since a run wrote it, so that the run would not begin",
        f"{out}/landmarks.csv: would be new",
        f"{out}/errors.csv: would be replaced",
        f"{out}/checksums.sha256: would be new",
        "dry run of 6 image(s): 1 done already, 1 would be done anew, replacing its files, 1 would be done, "
        f"3 could not be used, 1 hidden, 2 left out, it has no true landmarks; nothing was written to {out}",
    ]
