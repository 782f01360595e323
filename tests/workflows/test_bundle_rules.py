"""What MONAI and the model zoo ask of a bundle."""

import json
import os
import re
import shutil
from importlib import metadata as installed
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser, verify_metadata, verify_net_in_out

from tests.conftest import Sample, Trained
from tests.workflows.running import (
    CONFIGS,
    ROOT,
    TINY_NETWORK,
    TINY_PAPER_TRAINING,
    at_bundle_root,
    open_workflow,
    read_config,
    refusal,
)

#: Files of definitions, and settings for MONAI's option ``--tracking``, which are no configurations.
DEFINITIONS = {"measurements_cephalometry", "measurements_hand", "tracking_mlflow", "tracking_tensorboard"}
WORKFLOWS = ("train", "train_decoders", "inference", "evaluate")
OVERLAID = ([], ["head"], ["hand"], ["fast"], ["paper"])
OVERLAYS = (
    "head",
    "hand",
    "paper",
    "sample",
    *sorted({f.stem for f in CONFIGS.glob("*_*.json")} - DEFINITIONS - {*WORKFLOWS}),
)
REQUIRED = (
    "schema",
    "version",
    "monai_version",
    "pytorch_version",
    "numpy_version",
    "required_packages_version",
    "task",
    "description",
    "authors",
    "copyright",
    "network_data_format",
)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_property_that_monai_asks_for(name: str, trained: Trained, small: Sample) -> None:
    """A training asks for all of its parts, which computes the features of its warps."""
    settings: dict[str, Any] = {
        "train": {**trained.settings, "output_dir": trained.output},
        "train_decoders": {**TINY_PAPER_TRAINING, **small.template, "output_dir": trained.output},
        "inference": {"model_path": trained.model, "dataset_dir": small.images},
        "evaluate": {"model_path": trained.model, "dataset_dir": small.images, "landmarks": small.truth},
    }[name]
    with at_bundle_root():
        workflow = open_workflow(name, kind="train" if name.startswith("train") else "infer", **settings)
        workflow.initialize()
        assert workflow.check_properties() == []


@pytest.mark.parametrize(
    "names",
    [
        ["train"],
        ["train_decoders", "paper"],
        *([name, *more] for name in ("inference", "evaluate") for more in OVERLAID),
    ],
    ids="+".join,
)
def test_monais_checks_need_neither_model_nor_images(names: list[str], tmp_path: Path) -> None:
    """As in a fresh clone: what is missing is told by the run, not while its parts are put together."""
    kind = "train" if names[0].startswith("train") else "infer"
    settings = {"model_path": str(tmp_path / "none.pt"), "output_dir": str(tmp_path / "output")}
    with at_bundle_root():
        workflow = open_workflow(*names, kind=kind, **settings, encoder_weights="random")
        workflow.initialize()
        assert workflow.check_properties() == []
        assert list(tmp_path.iterdir()) == []
        said = refusal(workflow.run)
        assert "there are no images" in said if kind == "infer" else "there is no template" in said
        assert list(tmp_path.iterdir()) == []


class TestMetadata:
    @pytest.fixture(scope="class")
    def metadata(self) -> dict[str, Any]:
        return read_config("metadata")

    def test_it_follows_the_schema(self, metadata: dict[str, Any], tmp_path: Path) -> None:
        """By the published schema where it is at hand; what it requires is checked in any case."""
        assert [key for key in REQUIRED if not metadata.get(key)] == []
        data_format = metadata["network_data_format"]
        assert set(data_format["inputs"]) == {"image"} and set(data_format["outputs"]) == {"pred"}
        assert metadata["version"] in metadata["changelog"]
        name = metadata["schema"].rsplit("/", 1)[-1]
        schema = Path(os.environ.get("OSL_REAL_DATA", "")) / "monai" / name
        if os.environ.get("OSL_REAL_DATA") and schema.is_file():
            verify_metadata(str(CONFIGS / "metadata.json"), filepath=shutil.copy(schema, tmp_path / name))

    def test_its_versions_are_those_that_install_together(self, metadata: dict[str, Any]) -> None:
        lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        pinned = dict(line.lower().split("==") for line in lines if "==" in line)
        pinned = {re.sub(r"[-_.]+", "-", name): version for name, version in pinned.items()}
        named = {
            "monai": metadata["monai_version"],
            "torch": metadata["pytorch_version"],
            "numpy": metadata["numpy_version"],
            **metadata["required_packages_version"],
        }
        wrong = {name: version for name, version in named.items() if pinned.get(name) != version}
        assert wrong == {}

    def test_it_names_every_package_that_has_to_be_installed(self, metadata: dict[str, Any]) -> None:
        lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
        needed = {re.split(r"[^\w.-]", line.strip())[0].lower() for line in lines if line.strip() and line[0] != "#"}
        named = {*metadata["required_packages_version"], "monai", "torch", "numpy"}
        assert needed - named == set()

    def test_the_version_is_that_of_the_package(self, metadata: dict[str, Any]) -> None:
        from bundle import __version__

        assert metadata["version"] == __version__

    def test_the_installed_monai_is_recent_enough(self, metadata: dict[str, Any]) -> None:
        major = int(installed.version("monai").split(".")[0])
        assert major >= int(metadata["monai_version"].split(".")[0])


class TestNetwork:
    """``verify_net_in_out`` feeds the network what the metadata promise."""

    def check(self, **override: Any) -> None:
        with at_bundle_root():
            verify_net_in_out(
                "network_def",
                meta_file="configs/metadata.json",
                config_file="configs/inference.json",
                device="cpu",
                n=10,
                **override,
            )

    def test_the_default_network_is_as_the_metadata_say(self, small: Sample) -> None:
        """The whitening changes no shape; to fit it would take most of the time."""
        whitening = {"network": {"whitening": False}}
        self.check(template_image=str(small.image), template_landmarks=str(small.landmarks), **whitening)

    def test_it_needs_neither_model_nor_template(self, tmp_path: Path) -> None:
        self.check(model_path=str(tmp_path / "none.pt"))

    def test_a_network_of_other_settings(self, small: Sample) -> None:
        settings = {
            "template_image": str(small.image),
            "template_landmarks": str(small.landmarks),
            "network": {"working_sides": [160, 320], "negative": False},
        }
        self.check(**settings, **{"_meta_#network_data_format#outputs#pred#num_channels": 128})
        with pytest.raises(ValueError, match="channel number"):
            self.check(**settings)

    def test_a_trained_network(self, trained: Trained) -> None:
        channels = 64 * len(TINY_NETWORK["working_sides"])
        self.check(model_path=str(trained.model), **{"_meta_#network_data_format#outputs#pred#num_channels": channels})


class TestFiles:
    @pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.json")), ids=lambda path: path.stem)
    def test_json_is_indented_by_four(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        assert text == json.dumps(json.loads(text), indent=4, ensure_ascii=False) + "\n"

    @pytest.mark.parametrize("path", sorted(CONFIGS.iterdir()), ids=lambda path: path.name)
    def test_no_personal_path_and_no_long_line(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"/home/|/Users/|/tmp/|[A-Z]:\\\\", text)
        assert str(ROOT) not in text and str(Path.home()) not in text
        if path.name != "metadata.json":
            assert not re.search(r"\bssh\b|@[\w-]+\.(?:com|org)\b", text)

    def test_the_files_of_a_bundle(self) -> None:
        for name in (
            "LICENSE",
            "configs/metadata.json",
            "configs/logging.conf",
            *(f"configs/{n}.json" for n in WORKFLOWS),
        ):
            assert (ROOT / name).is_file(), name


def test_no_configuration_needs_another_file_than_those_it_is_given_with() -> None:
    """MONAI looks for such a file in the working directory, which may be any."""
    for path in CONFIGS.glob("*.json"):
        assert not re.search(r'"%[^"]*\.json', path.read_text(encoding="utf-8")), path.name


def test_an_evaluation_finds_landmarks_as_an_inference_does() -> None:
    inference, evaluation = read_config("inference"), read_config("evaluate")
    own = {"output_dir", "cases", "journal", "postprocessing", "report_settings", "saver"}
    own |= {"handlers", "plan", "evaluator", "results", "run"}
    shared = (inference.keys() & evaluation.keys()) - own
    assert {"template", "model", "preprocessing", "inferer"} <= shared
    assert {name: inference[name] for name in shared} == {name: evaluation[name] for name in shared}


class TestOverlays:
    @pytest.mark.parametrize("name", OVERLAYS)
    def test_every_key_is_one_that_a_configuration_has(self, name: str) -> None:
        """``+key`` adds to a key, ``a#b`` sets a part of one; new keys have to be used by the overlay itself."""
        overlay = read_config(name)
        text = json.dumps({**read_config("paper"), **overlay})
        for key in overlay:
            plain = key.removeprefix("+").split("#")[0]
            if all(plain not in read_config(base) for base in WORKFLOWS):
                assert f"@{plain}" in text, f"{key} is never used"

    @pytest.mark.parametrize("workflow", WORKFLOWS)
    @pytest.mark.parametrize(
        "overlays", [["head"], ["hand"], ["encoder_xfeat", "head"], ["paper", "head"], ["paper", "hand"]], ids="+".join
    )
    def test_all_configurations_accept_them(self, workflow: str, overlays: list[str]) -> None:
        parser = ConfigParser()
        with at_bundle_root():
            parser.read_config([f"configs/{name}.json" for name in (workflow, *overlays)])
            parser.parse()
        last = read_config(overlays[-1])
        for key, value in last.items():
            assert parser[key] == value

    def test_the_encoder_is_merged_into_the_network(self) -> None:
        parser = ConfigParser()
        with at_bundle_root():
            parser.read_config(["configs/train.json", "configs/encoder_dino.json", "configs/encoder_xfeat.json"])
        assert parser["network#encoder#name"] == read_config("encoder_xfeat")["+network"]["encoder"]["name"]

    def test_what_the_overlays_set_arrives(self, small: Sample) -> None:
        from tests.workflows.running import content

        settings = {**small.template, "dataset_dir": small.images, "landmarks": small.truth, "network": TINY_NETWORK}
        spacing, radii = content("evaluate", "head", get=("template", "sdr_radii"), **settings)
        assert spacing.spacing == (0.1, 0.1)
        assert radii == [2.0, 2.5, 3.0, 4.0]
        reference = content("inference", "hand", get="reference", **small.template, dataset_dir=small.images)
        assert (reference.landmarks, reference.millimetres) == ((0, 4), 50.0)
