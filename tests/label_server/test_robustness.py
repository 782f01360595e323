"""Whatever clients send, the answer is one sentence, and the server lives."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.label_server.client import MODEL, ROOT, Answer, Client, Server, resident_bytes
from tests.label_server.conftest import Study

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def client(server: Server, study: Study) -> Client:
    """Of a server with one annotated image and no trained model."""
    assert server.client.save("hand_0", study.markups("hand_0")).status == 200
    return server.client


@pytest.fixture(scope="module")
def first(client: Client) -> list[dict]:
    """What the server finds before all this."""
    return client.infer("hand_1").json["result"]["landmarks"]


@pytest.fixture(autouse=True)
def still_alive(client: Client, first: list[dict]) -> Iterator[None]:
    yield
    assert client.ask("GET", "/info/").status == 200


def png(tmp_path: Path, pixels: np.ndarray) -> bytes:
    Image.fromarray(pixels).save(tmp_path / "x.png")
    return (tmp_path / "x.png").read_bytes()


def test_names_that_do_not_exist(client: Client) -> None:
    assert "there is no model 'other'" in client.ask("POST", "/infer/other", {"image": "hand_1"}).sentence
    assert "there is no model 'other'" in client.ask("POST", "/train/other", body={}).sentence
    assert "there is no image 'other'" in client.infer("other").sentence
    assert "there is no strategy 'other'" in client.ask("POST", "/activelearning/other").sentence
    assert "there is no method 'other'" in client.ask("POST", "/scoring/other").sentence
    assert "there is no image 'other'" in client.save("other", {}).sentence


@pytest.mark.parametrize("image", ["/etc/passwd", "../../etc/passwd", "labels", ".", "datastore_v2"])
def test_files_outside_the_study_are_out_of_reach(client: Client, image: str) -> None:
    assert "there is no image" in client.infer(image).sentence
    sent = {"params": json.dumps({"image": image})}
    assert "there is no image" in client.ask("POST", f"/infer/{MODEL}", {"image": "hand_1"}, fields=sent).sentence


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ("{", "JSON object"),
        ("[1]", "JSON object"),
        ('{"device": "tpu9"}', "device is 'tpu9'"),
        ('{"device": 7}', "device is 7"),
        ('{"save_label": "perhaps"}', "save_label is 'perhaps'"),
        ('{"save_label": true, "label_tag": "../x"}', "tag is '../x'"),
        ('{"model": "other"}', "there is no model 'other'"),
        ('{"image": 5}', "there is no image 5"),
    ],
)
def test_wrong_parameters_of_an_inference(client: Client, params: str, said: str) -> None:
    query = {"image": "hand_1", "output": "json"}
    assert said in client.ask("POST", f"/infer/{MODEL}", query, fields={"params": params}).sentence


def test_parameters_of_other_models_are_ignored(client: Client) -> None:
    """3D Slicer's module sends along whatever a model may have."""
    sent = {"skip_writer": True, "logging": "LOUD", "result_write_to_file": False, "model_filename": "../../x.pt"}
    assert client.infer("hand_1", **sent).json["result"]["landmarks"]


def test_wrong_forms_of_an_answer(client: Client) -> None:
    assert "the request is wrong at query output" in client.infer("hand_1", "nonsense").sentence
    assert "output is 'dicom_seg'" in client.infer("hand_1", "dicom_seg").sentence


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"max_epochs": "many"}, "max_epochs is 'many'"),
        ({"warps": 0}, "warps is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"template": "hand_1"}, "expected an image with a saved annotation, or a list of them: hand_0"),
        ({"learning": 1}, "training has no key 'learning'"),
        ({"device": "tpu"}, "device is 'tpu'"),
        ([1], "the request is wrong at body"),
    ],
)
def test_wrong_parameters_of_a_training(client: Client, params: object, said: str) -> None:
    assert said in client.ask("POST", f"/train/{MODEL}", body=params).sentence
    assert client.ask("GET", "/train/").status == 404, "nothing was started"


def test_images_that_are_no_radiographs(client: Client, study: Study, tmp_path: Path) -> None:
    whole = study.image("hand_1").read_bytes()
    bad = {
        "cut.png": whole[: len(whole) // 2],
        "text.png": b"no image at all",
        "empty.png": b"",
        "text.dcm": b"no image at all",
        "half.nii.gz": study.image("hand_3").read_bytes()[:200],
        "colour.png": png(tmp_path, np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)),
        "flat.png": png(tmp_path, np.zeros((64, 64), dtype=np.uint8)),
    }
    for name, content in bad.items():
        sent = {"file": (name, content)}
        assert client.ask("POST", f"/infer/{MODEL}", {"output": "json"}, files=sent).sentence, name
        assert client.ask("PUT", "/datastore/image", {"image": "bad"}, files=sent).sentence, name
    assert client.ask("GET", "/datastore/").json["total"] == 5
    (study.folder / "broken.png").write_bytes(bad["cut.png"])
    proposal = client.ask("POST", "/activelearning/representative").json
    assert proposal["id"] != "broken"
    (study.folder / "broken.png").unlink()


@pytest.mark.parametrize("image", ["../outside", "a/b", "", ".hidden", "con"])
def test_images_with_dangerous_names(client: Client, study: Study, image: str) -> None:
    sent = {"file": ("x.png", study.image("hand_1").read_bytes())}
    answer = client.ask("PUT", "/datastore/image", {"image": image}, files=sent)
    if image:
        assert "expected an id that can be a file name" in answer.sentence
    assert not list(study.folder.parent.glob("outside*"))


def test_an_image_is_added_used_and_removed(client: Client, study: Study) -> None:
    sent = {"file": ("whatever.PNG", study.image("hand_1").read_bytes())}
    assert client.ask("PUT", "/datastore/image", {"image": "new.one"}, files=sent).json == {"image": "new.one"}
    first, again = client.infer("hand_1").json["result"], client.infer("new.one").json["result"]
    assert again["landmarks"] == first["landmarks"]
    whole = (study.folder / "new.one.PNG").read_bytes()
    for name, image in (("other.PNG", "new.one"), ("x.dcm", "new.one"), ("x.png", "hand_1"), ("x.jpg", "hand_1")):
        other = {"file": (name, study.image("hand_0" if name == "x.dcm" else "hand_2").read_bytes())}
        assert "never replaced" in client.ask("PUT", "/datastore/image", {"image": image}, files=other).sentence
    assert (study.folder / "new.one.PNG").read_bytes() == whole
    assert client.ask("DELETE", "/datastore/image", {"id": "new.one"}).status == 200
    assert "there is no image" in client.infer("new.one").sentence


def test_annotations_that_do_not_fit(client: Client, study: Study) -> None:
    good = study.markups("hand_1")
    controls = good["markups"][0]["controlPoints"]

    def changed(points: list) -> dict:
        return {"markups": [{**good["markups"][0], "controlPoints": points}]}

    far = [{**controls[0], "position": [1e6, 0, 0]}, *controls[1:]]
    cases = {
        "landmarks without": changed(controls[:-1]),
        "unknown extra": changed([*controls, {**controls[0], "label": "extra"}]),
        "more than once": changed([*controls, controls[0]]),
        "outside": changed(far),
        "no landmark that is placed": changed([{**point, "positionStatus": "undefined"} for point in controls]),
        "0 point lists": {"markups": []},
        "markups": {"landmarks": []},
        "no valid JSON": b"{",
    }
    for said, document in cases.items():
        assert said in client.save("hand_1", document).sentence, said
    assert "a point list of 3D Slicer was expected" in client.save("hand_1", b"\x1f\x8b", "label.nii.gz").sentence
    assert "tag is '../final'" in client.save("hand_1", good, tag="../final").sentence
    assert not list((study.folder / "labels").rglob("hand_1*"))
    kept = client.ask("GET", "/datastore/label", {"label": "hand_0", "tag": "final"})
    assert 'found no "markups"' in client.save("hand_0", b"{}").sentence
    assert client.ask("GET", "/datastore/label", {"label": "hand_0", "tag": "final"}).json == kept.json


def test_requests_that_lack_something(client: Client) -> None:
    assert "no image was named" in client.ask("POST", f"/infer/{MODEL}").sentence
    assert "label" in client.ask("PUT", "/datastore/label", {"image": "hand_1"}, fields={"params": "{}"}).sentence
    assert (
        "expected a JSON object"
        in client.ask(
            "PUT", "/datastore/label", {"image": "hand_0"}, files={"label": ("a.json", b"{}")}, fields={"params": "{"}
        ).sentence
    )
    info = {"label": "hand_0", "tag": "final"}
    assert "no valid JSON" in client.ask("PUT", "/datastore/label/info", info, fields={"info": "{"}).sentence
    assert client.ask("GET", "/nowhere").status == 404


def test_ten_clients_at_once(client: Client) -> None:
    alone = {image: client.infer(image).json["result"] for image in ("hand_1", "hand_2", "hand_3", "hand_4")}
    images = [f"hand_{1 + index % 4}" for index in range(20)]
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda image: client.infer(image, "all"), images))
    for image, answer in zip(images, answers):
        assert json.loads(answer.parts()["params"])["result"] == alone[image]


def test_others_are_answered_during_an_inference(client: Client) -> None:
    with ThreadPoolExecutor(6) as pool:
        running = [pool.submit(client.infer, "hand_1") for _ in range(5)]
        assert client.ask("GET", "/datastore/").status == 200
        assert not all(job.done() for job in running)
        assert all(job.result().status == 200 for job in running)


def test_a_client_that_hangs_up(client: Client, server: Server) -> None:
    host, port = client.url.removeprefix("http://").split(":")
    for _ in range(5):
        with socket.create_connection((host, int(port))) as line:
            line.sendall(f"POST /infer/{MODEL}?image=hand_2&output=all HTTP/1.1\r\nHost: {host}\r\n".encode())
            line.sendall(b"Content-Length: 0\r\n\r\n")
    with socket.create_connection((host, int(port))) as line:
        line.sendall(
            f"PUT /datastore/label?image=hand_1 HTTP/1.1\r\nHost: {host}\r\nContent-Length: 999\r\n\r\nx".encode()
        )
    assert resident_bytes(server.pid) > 0


#: What a browser sends with the form of another site's page.
FORM = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Content-Type": "text/plain"}


def final(client: Client, image: str) -> Answer:
    return client.ask("GET", "/datastore/label", {"label": image, "tag": "final"})


def test_pages_of_other_sites_change_nothing(client: Client) -> None:
    kept = final(client, "hand_0").content
    assert client.ask("GET", "/info/", headers={"Host": "evil.example"}).status == 400
    for headers in (FORM, {"Origin": "null"}, {"Origin": "http://localhost:8000"}, {"Sec-Fetch-Site": "same-site"}):
        assert "page of another site" in client.ask("GET", "/info/", headers=headers).sentence
        assert client.ask("POST", f"/train/{MODEL}", body={}, headers=headers).status == 403
        for path in (f"/infer/{MODEL}?image=hand_0", f"/batch/infer/{MODEL}", "/reload"):
            sent = {"params": json.dumps({"save_label": True, "label_tag": "final"})}
            assert client.ask("POST", path, fields=sent, headers=headers).status == 403
        assert client.ask("DELETE", "/datastore/label", {"id": "hand_0", "tag": "final"}, headers=headers).status == 403
        assert client.ask("DELETE", "/datastore/image", {"id": "hand_0"}, headers=headers).status == 403
    assert final(client, "hand_0").content == kept
    assert client.ask("GET", "/train/").status == 404, "nothing was started"


def test_a_prediction_is_never_final(client: Client, study: Study) -> None:
    kept = final(client, "hand_0").content
    for tag in ("final", "FINAL", "reader", 1):
        said = client.infer("hand_0", save_label=True, label_tag=tag).sentence
        assert f"label_tag is {tag!r}" in said
    for params in ({}, {"label_tag": "original"}, {"label_tag": ""}, {"label_tag": "original"}):
        assert client.infer("hand_0", save_label=True, **params).status == 200
    assert final(client, "hand_0").content == kept
    found = client.ask("GET", "/datastore/label", {"label": "hand_0", "tag": "original"}).json
    assert found["markups"][0]["controlPoints"]


def test_an_annotation_is_replaced_only_with_its_version(client: Client, study: Study) -> None:
    before = final(client, "hand_0")
    version, moved = before.headers["ETag"], study.markups("hand_0", shift=(1.0, 0.0))
    for replaces, status in (("", 428), ('"0123456789abcdef"', 412), ("*", 412), (f"W/{version}", 412)):
        refused = client.save("hand_0", moved, replaces=replaces)
        assert (refused.status, refused.headers["ETag"]) == (status, version), replaces
        assert version in refused.sentence
    assert "there is none" in client.save("hand_2", study.markups("hand_2"), replaces=version).sentence
    assert final(client, "hand_0").content == before.content

    saved = client.save("hand_0", moved, replaces=version)
    assert saved.status == 200 and final(client, "hand_0").json == moved
    assert saved.headers["ETag"] == final(client, "hand_0").headers["ETag"] != version
    assert client.save("hand_0", study.markups("hand_0"), replaces=version).status == 412, (
        "of two who saw it, one saves"
    )
    assert client.save("hand_0", json.loads(before.content), replaces=saved.headers["ETag"]).status == 200
    kept = sorted((study.folder / "labels" / "final" / "replaced").iterdir())
    assert [json.loads(path.read_bytes()) for path in kept] == [before.json, moved]


def test_the_shells_client(client: Client, study: Study, tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, str(ROOT / "scripts" / "label_client.py"), "--server", client.url, *arguments]
        return subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)

    assert "hand_0\tannotated" in run("images").stdout
    found = run("infer", "hand_1", "--output_dir", "points")
    assert found.returncode == 0 and (tmp_path / "points" / "hand_1.mrk.json").is_file(), found.stderr
    before = final(client, "hand_0")
    saved = run("label", "hand_0", "--output", "hand_0.mrk.json")
    assert saved.stderr == f"version {before.headers['ETag'].strip(chr(34))}\n"
    refused = run("submit", "hand_0", "hand_0.mrk.json")
    assert refused.returncode == 1 and "names no version" in refused.stderr
    version = saved.stderr.split()[1]
    assert run("submit", "hand_0", "hand_0.mrk.json", "--replaces", version).returncode == 0
    assert final(client, "hand_0").headers["ETag"] != before.headers["ETag"]
    for command, words in (
        (("infer", "hand_9"), "there is no image 'hand_9'"),
        (("submit", "hand_1", "points/hand_1.json", "--tag", "A"), "tag is 'A'"),
        (("train", "--set", "learning=1"), "training has no key 'learning'"),
        (("label", "hand_1"), "Label NOT Found"),
    ):
        done = run(*command)
        assert done.returncode == 1 and words in done.stderr, done.stderr
    last = final(client, "hand_0").headers["ETag"]
    assert client.save("hand_0", before.json, replaces=last).status == 200


def test_of_many_clients_one_saves(client: Client, study: Study) -> None:
    version = final(client, "hand_0").headers["ETag"]
    documents = [study.markups("hand_0", shift=(0.001 * index, 0.0)) for index in range(1, 9)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda document: client.save("hand_0", document, replaces=version), documents))
    assert sorted(answer.status for answer in answers) == [200, *[412] * 7]
    (saved,) = (document for answer, document in zip(answers, documents) if answer.status == 200)
    assert final(client, "hand_0").json == saved
    last = final(client, "hand_0").headers["ETag"]
    assert client.save("hand_0", study.markups("hand_0"), replaces=last).status == 200


def test_it_works_as_before(client: Client, first: list[dict]) -> None:
    assert client.infer("hand_1").json["result"]["landmarks"] == first


@pytest.mark.endurance
@pytest.mark.timeout(3600)
def test_memory_stays_flat(client: Client, server: Server) -> None:
    """500 inferences of 10 clients: at most 10 % above what the server had after 20."""
    images = [f"hand_{1 + index % 4}" for index in range(500)]
    with ThreadPoolExecutor(10) as pool:
        assert all(answer.status == 200 for answer in pool.map(client.infer, images[:20]))
        after_20 = resident_bytes(server.pid)
        assert all(answer.status == 200 for answer in pool.map(client.infer, images[20:]))
    after_500 = resident_bytes(server.pid)
    print(f"resident memory: {after_20 / 1e6:.0f} MB after 20, {after_500 / 1e6:.0f} MB after 500 inferences")
    assert after_500 < 1.1 * after_20
