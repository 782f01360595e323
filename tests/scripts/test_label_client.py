"""The shell's client, as a command and in this process, against a small server."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "label_client.py"
import label_client  # noqa: E402
from OneShotLandmarksLib.stub_server import StubServer, to_lps  # noqa: E402

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubServer]:
    with StubServer() as server:
        monkeypatch.setenv("MONAI_LABEL_SERVER", server.url)
        monkeypatch.delenv("MONAI_LABEL_TOKEN", raising=False)
        yield server


def run(*arguments: str | Path) -> int:
    return label_client.main([str(argument) for argument in arguments])


def lines(captured: Captured) -> list[str]:
    return captured.readouterr().out.splitlines()


def said(captured: Captured, *arguments: str | Path) -> list[str]:
    """The lines of a command that succeeds."""
    assert run(*arguments) == 0
    return lines(captured)


def refusal(captured: Captured, *arguments: str | Path) -> str:
    """What a command says that fails."""
    assert run(*arguments) == 1
    return captured.readouterr().err


def version(stub: StubServer, image: str) -> str:
    return stub.version(image).strip('"')


def test_as_a_command_from_anywhere(tmp_path: Path) -> None:
    with StubServer() as stub:
        command = [sys.executable, str(SCRIPT), "--server", stub.url, "images"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout) == (0, "flat\t-\nupright\t-\n")
    gone = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert gone.returncode == 1 and gone.stdout == ""
    assert gone.stderr == (
        f"The connection to {stub.url} failed (Connection refused): check the address and that the server runs.\n"
    )


def test_from_the_proposed_image_to_the_next_model(stub: StubServer, tmp_path: Path, capsys: Captured) -> None:
    assert said(capsys, "next") == ["flat\tmost representative"]
    assert [line.split("\t")[:2] for line in said(capsys, "infer", "flat", "upright", "--output_dir", tmp_path)] == [
        ["flat", "4 landmarks"],
        ["upright", "4 landmarks"],
    ]
    document = json.loads((tmp_path / "upright.mrk.json").read_text(encoding="utf-8"))
    places = [control["position"] for control in document["markups"][0]["controlPoints"]]
    assert places[0] == pytest.approx(to_lps("upright", 10.25, 12.5))
    assert json.loads((tmp_path / "flat.json").read_text(encoding="utf-8"))["landmarks"][0]["x"] == 10.25

    assert said(capsys, "submit", "upright", tmp_path / "upright.mrk.json") == [
        f"upright: saved with the tag final, version {version(stub, 'upright')}"
    ]
    assert stub.labels["upright"] == document
    assert run("label", "upright", "--output", tmp_path / "again.mrk.json") == 0
    assert capsys.readouterr().err == f"version {version(stub, 'upright')}\n"
    again = json.loads((tmp_path / "again.mrk.json").read_text(encoding="utf-8"))
    assert [control["position"] for control in again["markups"][0]["controlPoints"]] == places

    assert run("train", "--wait", "--every", "0.01") == 0
    captured = capsys.readouterr()
    shares = [f"running {share}% epoch {epoch}/3" for share, epoch in ((" 33", 1), (" 67", 2), ("100", 3))]
    assert captured.err.splitlines() == shares
    assert "status: DONE" in captured.out
    assert said(capsys, "scores") == ["images: 1", "mre_px: 1.5", "sdr 2.0: 0.75"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "again.mrk.json",
        *(f"{image}{ending}" for image in ("flat", "upright") for ending in (".json", ".mrk.json")),
    ]


def test_points_on_the_terminal(stub: StubServer, capsys: Captured) -> None:
    assert said(capsys, "infer", "flat") == [
        "flat\tsella\t10.2\t12.5\tconfidence 0.93, expected error 0.8 mm",
        "flat\tnasion\t30.0\t14.0\tconfidence 0.42, expected error 3.1 mm",
        "flat\tmenton\t22.5\t44.8\t",
        "flat\torbitale\t-\t-\tnot found",
    ]
    assert [json.loads(line)["image_id"] for line in said(capsys, "infer", "--all", "--json")] == ["flat", "upright"]


@pytest.mark.parametrize("command", ["info", "images", "next", "scores"])
def test_json(stub: StubServer, capsys: Captured, command: str) -> None:
    (line,) = said(capsys, command, "--json")
    assert json.loads(line)


def test_one_bad_image_does_not_stop_the_others(stub: StubServer, capsys: Captured) -> None:
    assert run("infer", "flat", "missing", "upright", "--json") == 1
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 2
    assert captured.err == "missing: There is no image missing.\n"


def test_status_stop_and_a_training_that_fails(stub: StubServer, tmp_path: Path, capsys: Captured) -> None:
    assert run("status") == 1 and run("stop") == 1
    assert capsys.readouterr().err.splitlines() == [
        "There was no training since the server started.",
        "No training is running.",
    ]
    assert refusal(capsys, "train") == "No image is annotated yet: submit one before training.\n"
    stub.labels["flat"] = {}
    assert run("train", "--set", "max_epochs=3", "--set", "template=flat") == 0
    assert json.loads(said(capsys, "status", "--json")[-1]) == {
        "id": "task-0",
        "status": "RUNNING",
        "progress": 0.333,
        "last line": "epoch 1/3",
    }
    assert refusal(capsys, "train") == "Train Task is Already Running.\n"
    assert run("stop") == 0
    stub.outcome = "ERROR"
    assert (
        refusal(capsys, "train", "--wait", "--every", "0.01").splitlines()[-1]
        == "The training ended as ERROR: epoch 3/3"
    )
    assert run("status") == 1


def test_settings_of_a_training_are_sent(stub: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[bytes] = []
    answer = stub.answer
    monkeypatch.setattr(stub, "answer", lambda *values: sent.append(values[3]) or answer(*values))
    stub.labels["flat"] = {}
    assert run("train", "--set", "max_epochs=3", "--set", "template=flat") == 0
    assert json.loads(sent[-1]) == {"max_epochs": 3, "template": "flat"}


def test_waiting_ends(stub: StubServer, capsys: Captured) -> None:
    stub.labels["flat"] = {}
    assert "goes on after 0.01 seconds" in refusal(
        capsys, "train", "--wait", "--every", "0.05", "--wait_timeout", "0.01"
    )


def test_a_server_that_was_started_again_is_noticed(
    stub: StubServer, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.labels["flat"] = {}
    monkeypatch.setattr(label_client.time, "sleep", lambda _: stub._tasks.clear())
    assert "no longer knows this training" in refusal(capsys, "train", "--wait")


def test_an_annotation_is_replaced_only_by_its_version(stub: StubServer, tmp_path: Path, capsys: Captured) -> None:
    first, second = tmp_path / "first.mrk.json", tmp_path / "second.mrk.json"
    for number, file in enumerate((first, second)):
        file.write_text(json.dumps({"markups": [number]}), encoding="utf-8")
    assert run("submit", "flat", first) == 0
    seen = version(stub, "flat")
    for options in ((), ("--replaces", "0" * 16)):
        assert refusal(capsys, "submit", "flat", second, *options) == "Another annotation is there.\n"
    assert stub.labels["flat"] == {"markups": [0]}
    assert json.loads(said(capsys, "submit", "flat", second, "--replaces", seen, "--json")[-1]) == {
        "version": version(stub, "flat")
    }
    assert stub.labels["flat"] == {"markups": [1]} and version(stub, "flat") != seen


def test_what_cannot_be_submitted(stub: StubServer, tmp_path: Path, capsys: Captured) -> None:
    assert "cannot be read" in refusal(capsys, "submit", "flat", tmp_path / "missing.csv")
    (tmp_path / "points.csv").write_text("name,x,y\n", encoding="utf-8")
    assert refusal(capsys, "submit", "missing", tmp_path / "points.csv") == "There is no image missing.\n"
    assert refusal(capsys, "label", "flat") == "Label NOT Found.\n"


def test_names_that_the_server_lacks(stub: StubServer, capsys: Captured) -> None:
    for command in (("infer", "flat", "--model", "x"), ("next", "--strategy", "x"), ("scores", "--method", "x")):
        assert "'x': it has " in refusal(capsys, *command)


def test_all_annotated(stub: StubServer, capsys: Captured) -> None:
    stub.labels.update(flat={}, upright={})
    assert "all of them are annotated" in refusal(capsys, "next")


def test_the_log(stub: StubServer, capsys: Captured) -> None:
    assert said(capsys, "logs", "--lines", "1") == ["second line"]


def test_tokens(capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with StubServer(token="secret") as stub:
        assert "wants a token" in refusal(capsys, "--server", stub.url, "info")
        (tmp_path / "token").write_text("secret\n", encoding="utf-8")
        assert run("--server", stub.url, "--token_file", tmp_path / "token", "info") == 0
        monkeypatch.setenv("MONAI_LABEL_TOKEN", "secret")
        assert run("--server", stub.url, "info") == 0
        assert "unencrypted" in refusal(capsys, "--server", "http://example.org", "info")


def test_a_token_where_none_is_asked_for(stub: StubServer, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_client.getpass, "getpass", lambda _: "password")
    assert "asks for no token" in refusal(capsys, "token", "--user", "me")
    assert "The password would be sent to http://example.org unencrypted" in refusal(
        capsys, "--server", "http://example.org", "token", "--user", "me"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("wrong",),
        ("infer",),
        ("submit", "flat"),
        ("logs", "--lines", "x"),
        ("train", "--set", "x"),
        ("--timeout", "-1", "info"),
        ("--token_file", "missing", "info"),
    ],
)
def test_wrong_command_lines(stub: StubServer, arguments: tuple[str, ...], capsys: Captured) -> None:
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err
    assert stub.labels == {} and not any(request.startswith("PUT") for request in stub.requests)


def test_results_cannot_be_written_elsewhere(
    stub: StubServer, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = stub._infer({"image": "flat"})
    monkeypatch.setattr(stub, "_infer", lambda query: answer)
    assert "cannot be a file name" in refusal(capsys, "infer", "../flat", "--output_dir", tmp_path / "points")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert "cannot be written" in refusal(capsys, "infer", "flat", "--output_dir", tmp_path / "file")


def test_a_reader_that_stops_early(stub: StubServer) -> None:
    command = f"{sys.executable} {SCRIPT} images | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, env=os.environ.copy())
    assert "Traceback" not in done.stderr
