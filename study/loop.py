"""The loop: what was accepted becomes templates, the model learns from them, and all other images are found anew."""

import contextlib
import hashlib
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from bundle.errors import BundleError, ConfigError, ImageError
from bundle.writers.files import atomic_file, write_json
from study.annotations import AnnotatedImage, all_placed
from study.estimate import foresee
from study.folder import Study, read_own
from study.journal import note
from study.proposals import Proposal, Proposals
from study.training import Stopped, train_apart

#: Of a larger study so many images are looked at for the one that helps most.
MOST_COMPARED = 200

#: With more accepted images the newest of them are templates: each costs time.
MOST_TEMPLATES = 50


_IMPORTING = threading.Lock()


def import_monai() -> None:
    """Import what takes seconds, before what needs it and in one thread at a time: MONAI's parts import each other."""
    with _IMPORTING:
        import_module("monai")


@dataclass(frozen=True)
class Progress:
    """Where the work in the background is.

    Attributes:
        phase: ``idle``, ``learning`` or ``finding``.
        done: how much of the phase is done.
        total: of how much.
        paused: whether it waits.
        error: why it ended before its end; empty where it did not.
    """

    phase: str = "idle"
    done: int = 0
    total: int = 0
    paused: bool = False
    error: str = ""


@dataclass
class Loop:
    """Finds the landmarks of one image at once, and of all in the background.

    With one template nothing is trained. With several, the training of the bundle runs; until it has ended, the model
    of before is used.

    Args:
        study: the study.
        settings: for ``LandmarkFinder.from_template`` and ``from_model``, such as ``device``.
    """

    study: Study
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.proposals = Proposals(self.study)
        self.progress = Progress()
        self.failed: dict[str, str] = {}
        self.changed = 0  # counts what the page has to show anew
        self._finder: tuple[str, Any] | None = None
        self._network = threading.Lock()  # one image at a time
        self._opening = threading.Lock()
        self._features: Any = None
        self._go, self._stop = threading.Event(), threading.Event()
        self._go.set()
        self._starting = threading.Lock()
        self._worker: threading.Thread | None = None
        self._again = False

    # ---- the model

    @property
    def model_path(self) -> Path:
        """The trained model, which the MONAI Label server uses, too."""
        return self.study.folder / "monailabel" / "model" / "oneshot_landmarks" / "models" / "model.pt"

    def templates(self) -> list[AnnotatedImage]:
        """The accepted images with all landmarks placed, but those that somebody excluded."""
        excluded = self.excluded()
        whole = [case for case in self.study.annotated() if case.image_id not in excluded and all_placed(case.label)]
        return whole[-MOST_TEMPLATES:]

    def require_templates(self) -> list[AnnotatedImage]:
        """The templates.

        Raises:
            ConfigError: when nothing was accepted yet.
        """
        templates = self.templates()
        if not templates:
            raise ConfigError(
                "no image was accepted with all its landmarks placed: place the landmarks of one, and accept it."
            )
        return templates

    def excluded(self) -> set[str]:
        """The accepted images that shall not be templates."""
        return set(read_own(self.study.own / "templates.json").get("excluded", []))

    def set_template(self, image_id: str, wanted: bool) -> None:
        """Say whether an accepted image serves as a template."""
        path = self.study.own / "templates.json"
        with self.study.changing():
            excluded = self.excluded() - {image_id}
            write_json(path, {"excluded": sorted(excluded if wanted else excluded | {image_id})})
            note(self.study.journal, "template" if wanted else "no template", image=image_id)

    def source(self, templates: Sequence[AnnotatedImage]) -> str:
        """What a model is made of, in 16 hexadecimal digits: the templates with their versions."""
        parts = sorted(f"{case.image_id} {self.study.version(case.image_id)}" for case in templates)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def is_trained(self, source: str) -> bool:
        """Whether the model on the disk was trained on these templates."""
        return read_own(self.study.own / "model.json").get("source") == source and self.model_path.is_file()

    def finder(self) -> tuple[str, Any]:
        """The best finder that is there at once, and what it was made of.

        Raises:
            ConfigError: when nothing was accepted yet.
        """
        import_monai()
        from bundle import LandmarkFinder

        with self._opening:
            templates = self.require_templates()
            source = self.source(templates)
            if self._finder is not None and self._finder[0] == source:
                return self._finder
            if len(templates) > 1 and self.is_trained(source):
                self._finder = (source, LandmarkFinder.from_model(str(self.model_path), **self.settings))
            elif len(templates) == 1 or self._finder is None:
                finder = LandmarkFinder.from_template(*_files(templates), **self.settings)
                self._finder = (source if len(templates) == 1 else f"untrained {source}", finder)
            return self._finder

    def learn(self, templates: Sequence[AnnotatedImage], source: str) -> None:
        """Train on several templates, and keep the model, which is used from now on.

        Raises:
            BundleError: when one of them cannot be used.
            Stopped: when the work was stopped meanwhile.
        """
        names = [case.image_id for case in templates]
        with tempfile.TemporaryDirectory() as folder:
            trained = Path(folder) / "model.pt"
            train_apart(trained, *_files(templates), self.settings, self._stop)
            with self.study.changing():
                with atomic_file(self.model_path, binary=True) as file:
                    file.write(trained.read_bytes())
                write_json(self.study.own / "model.json", {"source": source, "templates": names})
                note(self.study.journal, "trained", templates=names)

    # ---- one image

    def find(self, image_id: str) -> Proposal:
        """Find the landmarks of one image, now.

        Raises:
            BundleError: when nothing was accepted yet, the image was, or it cannot be read.
        """
        if self.study.label_file(image_id).is_file():
            raise ConfigError(f"{image_id} is accepted, so its landmarks are known: find those of another image.")
        source, finder = self.finder()
        with self._network:
            found = finder.find(self.study.image_file(image_id), spacing=self.study.spacings().get(image_id))
        self.proposals.save(image_id, replace(found, image_id=image_id), source)
        self.failed.pop(image_id, None)
        self.changed += 1
        proposal = self.proposals.get(image_id)
        assert proposal is not None
        return proposal

    def suggest(self) -> str | None:
        """The image whose annotation would help the others most; None where all are accepted.

        Raises:
            BundleError: when the encoder cannot be had.
        """
        import_monai()
        from bundle.selection import rank_by_coverage, whiten_together
        from study.features import ImageFeatures

        self._features = self._features or ImageFeatures(self.study.own / "features")
        accepted = {case.image_id for case in self.study.annotated()}
        names = sorted(self.study.images())
        if len(names) > MOST_COMPARED:
            drawn = np.random.default_rng(0).choice(names, MOST_COMPARED, replace=False).tolist()
            names = sorted({*drawn, *accepted}.intersection(names))
        maps = {}
        for name in names:
            with self._network:
                try:
                    maps[name] = self._features.of(self.study.image_file(name))
                except ImageError as error:
                    self.failed[name] = str(error)
        if not set(maps) - accepted:
            return None
        whitened = dict(zip(maps, whiten_together(list(maps.values()))))
        return rank_by_coverage(whitened, accepted.intersection(maps))[0][0]

    # ---- all images

    def start(self) -> None:
        """Begin in the background, or begin anew where something was accepted meanwhile."""
        self._remember(True)
        with self._starting:
            self._again = True
            self._stop.clear()
            self.resume()
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="finding", daemon=True)
                self._worker.start()

    def pause(self) -> None:
        """Wait after the present image."""
        self._go.clear()
        self._tell(paused=True)

    def resume(self) -> None:
        """Go on."""
        self._go.set()
        self._tell(paused=False)

    def cancel(self) -> None:
        """End a training now, else after the present image; what was found stays."""
        self._remember(False)
        self._stop.set()
        self._go.set()

    def take_up(self) -> None:
        """Go on where a program that ended or was killed was in the middle of it, and have the model at hand."""
        with contextlib.suppress(BundleError):  # whoever changes something hears of it
            self.study.remove_leftovers()
        if read_own(self.study.own / "job.json").get("running"):
            self.start()
        if self.templates():
            with contextlib.suppress(BundleError):  # whoever asks for landmarks hears of it
                self.finder()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end of the work; whether it has ended."""
        worker = self._worker
        if worker is not None:
            worker.join(seconds)
        return worker is None or not worker.is_alive()

    def _remember(self, running: bool) -> None:
        with self.study.changing():
            write_json(self.study.own / "job.json", {"running": running})

    def _tell(self, **what: Any) -> None:
        self.progress = replace(self.progress, **what)

    def _may_go_on(self) -> bool:
        self._go.wait()
        return not self._stop.is_set() and not self._again

    def _work(self) -> None:
        error = ""
        while True:
            try:
                while self._again and not self._stop.is_set():
                    self._again = False
                    self._pass()
                if not self._stop.is_set():
                    self._remember(False)
            except Stopped:
                pass
            except BundleError as reason:
                error = str(reason)
            except Exception as reason:  # the page must hear of it, whatever it is
                error = f"{type(reason).__name__}: {reason}"
            with self._starting:
                if self._again and not self._stop.is_set() and not error:
                    continue
                self._worker = None
                self.changed += 1
                self.progress = Progress(error=error)
                return

    def _pass(self) -> None:
        templates = self.templates()
        if not templates:
            return
        source = self.source(templates)
        if len(templates) > 1 and not self.is_trained(source):
            self._tell(phase="learning", done=0, total=len(templates), error="")
            self.learn(templates, source)
        todo = self._unfound(source)
        for done, image_id in enumerate(todo):
            self._tell(phase="finding", done=done, total=len(todo))
            if not self._may_go_on():
                return
            try:
                self.find(image_id)
            except BundleError as reason:
                self.failed[image_id] = str(reason)
        found = [one for name in self.study.images() if (one := self.proposals.get(name)) and one.source == source]
        factors, factor, gain = self.finder()[1].model.matching.error_factors, 1.0, 1.0
        if factors is not None:
            from bundle.training.filter_training import learning_gain

            # Training expects all templates to gain over those that were left while others were left out.
            factor, gain = float(np.mean(factors)), learning_gain(len(templates))
        foresee(self.study, len(templates), factor, factor / gain, found)

    def _unfound(self, source: str) -> list[str]:
        """The images that nobody accepted and that were not found with these templates."""
        accepted = {case.image_id for case in self.study.annotated()}
        todo = []
        for image_id in self.study.images():
            known = self.proposals.get(image_id)
            if image_id not in accepted and (known is None or known.source != source):
                todo.append(image_id)
        return todo


def _files(templates: Sequence[AnnotatedImage]) -> tuple[list[str], list[str]]:
    return [str(case.image) for case in templates], [str(case.label) for case in templates]
