"""What an inference and an evaluation show and save: progress, a note of each image, and the results at the end."""

from __future__ import annotations

import math
import platform
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from ignite.handlers import Timer

from bundle import __version__
from bundle.data.cases import Cases
from bundle.data.journal import Finding, Journal
from bundle.data.readable import Failures
from bundle.errors import ConfigError, ImageError, NothingToWrite, a_few, one_line
from bundle.io.landmark_files.structured_report_file import LandmarkCode
from bundle.measurements import MeasurementPlan
from bundle.metrics.error_summary import (
    CEPHALOMETRIC_RADII,
    FAILURE_MM,
    RESAMPLES,
    LandmarkErrors,
    positive_radii,
    summarise_run,
)
from bundle.metrics.landmark_metrics import inside_truths, landmark_errors
from bundle.ranks import from_first, is_first
from bundle.records.console import NOT_DONE, SOME_FAILED, progress
from bundle.records.prediction import MISSING, PREDICTION_COLUMNS, LandmarkPrediction, Pose
from bundle.records.radiograph import Template
from bundle.report.cases import ReportRun, small_jpeg
from bundle.report.page import write_page
from bundle.writers.files import atomic_file, json_values, output_path
from bundle.writers.image_files import COCO, image_files, writer_names
from bundle.writers.run_files import (
    format_summary,
    write_coco,
    write_errors,
    write_landmarks,
    write_measurements,
    write_notes,
    write_poses,
    write_report,
)

#: Programs whose version says most about where numbers come from.
_PROGRAMS = ("torch", "monai", "numpy", "scipy", "pydicom", "timm")


def as_prediction(item: Mapping[str, Any], names: Sequence[str]) -> LandmarkPrediction:
    """One decollated item of an engine's batch and output as plain arrays.

    Args:
        item: ``image`` (MetaTensor (1, H, W)), ``image_id``, ``pred`` ((N, 7), columns
            :data:`bundle.records.prediction.PREDICTION_COLUMNS`), ``spacing`` and ``spacing_source``.
        names: N landmark names.

    Raises:
        ImageError: when the inferer refused the image.
    """
    meta, found = item["image"].meta, getattr(item["pred"], "meta", {})
    if found.get("refused"):
        raise ImageError(f"{meta['filename_or_obj']} {found['refused']}")
    columns = dict(zip(PREDICTION_COLUMNS, item["pred"].detach().cpu().double().numpy().T))
    points = np.stack([columns.pop("x"), columns.pop("y")], axis=1)
    missing = found.get("missing")
    if missing is not None:
        missing = torch.as_tensor(missing).cpu().double().numpy()
        points[missing >= MISSING] = np.nan
    spacing = item["spacing"].detach().cpu().double().numpy().reshape(2)
    known = bool(np.isfinite(spacing).all())
    size_x, size_y = meta.get("pixel_size", (1.0, 1.0))
    return LandmarkPrediction(
        image_id=str(item["image_id"]),
        path=Path(meta["filename_or_obj"]),
        names=tuple(names),
        points=points,
        missing=missing,
        **columns,
        width=int(item["image"].shape[-1]),
        height=int(item["image"].shape[-2]),
        spacing=(float(spacing[0]), float(spacing[1])) if known else None,
        spacing_source=str(item["spacing_source"]) if known else None,
        pixel_to_lps=np.asarray(meta["pixel_to_lps"], dtype=np.float64).reshape(3, 3),
        aspect=float(size_y) / float(size_x),
        pose=Pose(**found.get("pose", {})),
    )


class RunSaver(ABC):
    """Shows the progress of a run, notes each image, so that a killed run goes on, and in the end writes the results.

    Rank 0 shows the progress of all ranks together: with each image of its own it looks at their notes. Files that
    could not be read count as done; those of the other ranks only when all is done.

    Args:
        template: the annotated image.
        failures: files that could not be read.
        journal: where each image is noted.
        report: whether ``report.html`` is written.
        settings: what the run was started with, by name, for the report.

    Attributes:
        kind: what the run is called.
    """

    kind: str

    def __init__(
        self,
        template: Template,
        failures: Failures,
        journal: Journal,
        report: bool = False,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.template = template
        self.names = template.landmarks.names
        self.failures = failures
        self.journal = journal
        self.output_dir = journal.results.path
        self.report = report
        self.settings = settings or {}
        self.timer = Timer()
        self.found: list[Finding] = []
        self._writer = ThreadPoolExecutor(max_workers=1)
        self._writing: Future[None] | None = None

    def attach(self, engine: Engine) -> None:
        """Attach to an engine, before other handlers that take time.

        An image takes the seconds from asking for it to having its result, without what writes files.
        """
        if torch.cuda.is_available():  # what was launched has not yet happened
            engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: torch.cuda.synchronize())
        self.timer.attach(engine, start=Events.GET_BATCH_STARTED, pause=Events.ITERATION_COMPLETED)
        engine.add_event_handler(Events.STARTED, self._open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._note)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._merge)
        engine.add_event_handler(Events.COMPLETED, self._complete)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._release)

    def _open(self) -> None:
        self.journal.open()
        total, done = len(self.journal.cases.items), self.journal.done
        self._bar = progress(total=total, initial=done, desc=self.kind, unit="image", disable=not is_first())

    def _note(self, engine: Engine) -> None:
        batch: Any = engine.state.batch
        output: Any = engine.state.output
        for inputs, outputs in zip(batch, output):
            item = {**inputs, **outputs}
            try:
                prediction = as_prediction(item, self.names)
            except ImageError as error:
                self.failures.add(str(item["image"].meta["filename_or_obj"]), str(error))
                continue
            pixels = item["image"].detach().cpu().numpy()[0]
            self._wait()
            self._writing = self._writer.submit(self._write_image, prediction, pixels, self.timer.value())
        if is_first():
            new = engine.state.iteration if idist.get_world_size() == 1 else self.journal.count_new()
            self._bar.update(self.journal.done + new + len(self.failures) - self._bar.n)

    def _write_image(self, prediction: LandmarkPrediction, pixels: np.ndarray, seconds: float) -> None:
        """Write all of one image while the next one is worked on."""
        if self.report:
            with atomic_file(self._picture(prediction.image_id), binary=True) as file:
                file.write(small_jpeg(pixels))
        self._keep(prediction, pixels, seconds)

    def _keep(self, prediction: LandmarkPrediction, pixels: np.ndarray, seconds: float) -> None:
        """Note an image with its pixels, (H, W), 0 to 1, in the journal, and write its files."""
        self.journal.append(prediction, seconds)

    def _wait(self) -> None:
        """Wait until the image before is written, or raise why it cannot be."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    def _release(self, _engine: Engine, error: BaseException) -> None:
        """Give the folder back when nothing is written to it any more."""
        if self._writing is not None:
            wait([self._writing])
        self.journal.release(error)

    def _merge(self, engine: Engine) -> None:
        """Put together what all ranks have found; rank 0 has it then."""
        self._wait()
        self.found, self.failures = self.journal.merge(self.failures)
        self._bar.update(len(self.journal.cases.items) - self._bar.n)
        self._bar.close()

    def _complete(self) -> None:
        """Write the results, and say what was done; rank 0 does it for all."""
        if is_first():
            write_errors(self.output_dir, self.failures)
            self._write(self.found)
            self.journal.finish()
            if len(self.failures):
                table = one_line(str(self.output_dir / "errors.csv"))
                print(f"{len(self.failures)} file(s) could not be used: {table}", file=sys.stderr, flush=True)

    def finish(self) -> None:
        """End the program where files could not be used.

        Every rank has to come here. The others wait until rank 0 has written, for a launcher ends all ranks when the
        first one fails.

        Raises:
            SystemExit: with status 1 where some files could not be used, with 2 where no other was.
        """
        done = from_first(len(self.found))
        if len(self.failures):
            raise SystemExit(SOME_FAILED if done else NOT_DONE)

    @abstractmethod
    def _write(self, found: Sequence[Finding]) -> None:
        """Write the results of all ranks and say what was done."""

    def _picture(self, image_id: str) -> Path:
        """Where the small picture of an image waits for the report, also while a run is killed and continued."""
        return output_path(self.journal.folder, image_id, ".jpg")

    def _write_page(self, **evaluated: Any) -> None:
        """Write the report that one looks at; ``evaluated`` is what :class:`ReportRun` has of errors."""
        if not self.report:
            return
        cases = self.journal.cases
        run = ReportRun(
            kind=self.kind,
            cases=[one.prediction for one in self.found],
            template=self.template,
            seconds=[one.seconds for one in self.found],
            settings=self.settings,
            versions=_versions(),
            created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            failures=[(Path(file).name, reason) for file, reason in self.failures],
            remarks=(
                *((f"Left out of the folder: {reason}", names) for reason, names in cases.left_out.items()),
                ("Left out, for it is the template itself", cases.template_copies),
                ("Images without a truth", cases.without_truth),
                ("Truth without an image", cases.without_image),
                (
                    "True landmarks outside their image, left out",
                    evaluated.get("metrics", {}).get("truth_outside_image", ()),
                ),
            ),
            **evaluated,
        )
        write_page(self.output_dir / "report.html", run, self._read_picture)

    def _read_picture(self, image_id: str) -> bytes | None:
        path = self._picture(image_id)
        return path.read_bytes() if path.is_file() else None


def mean_seconds(found: Sequence[Finding]) -> float:
    """Mean seconds per image; NaN where there is none."""
    return sum(one.seconds for one in found) / len(found) if found else float("nan")


def _versions() -> dict[str, str]:
    installed = {name: metadata.version(name) for name in _PROGRAMS}
    system = f"{platform.system()} {platform.machine()}"
    return {"one-shot-landmarks": __version__, "python": platform.python_version(), **installed, "platform": system}


class PredictionSaver(RunSaver):
    """Writes the results of a run as they come, and its tables at the end.

    Args:
        template: the annotated image.
        failures: files that could not be read.
        journal: where each image is noted, so that a killed run goes on.
        writers: which files are written, see :func:`bundle.writers.image_files.writer_names`.
        measurements: what is measured between the landmarks of each image; None for nothing.
        landmark_codes: codes of the landmarks' anatomy by name, for structured reports.
        include_identifiers: whether reports say whose image it is.
        model: what the model is known by, for structured reports.
        **report: see :class:`RunSaver`.

    Raises:
        ConfigError: when a writer is unknown or named twice, or include_identifiers is not true or false.
    """

    kind = "inference"

    def __init__(
        self,
        template: Template,
        failures: Failures,
        journal: Journal,
        writers: Any = ("json", "markups", "overlay"),
        measurements: MeasurementPlan | None = None,
        landmark_codes: Mapping[str, LandmarkCode] | None = None,
        include_identifiers: bool = False,
        model: str = "",
        **report: Any,
    ) -> None:
        super().__init__(template, failures, journal, **report)
        if not isinstance(include_identifiers, bool):
            raise ConfigError(f"include_identifiers is {include_identifiers!r}, expected true or false.")
        self.measurements = measurements
        self.writers = writer_names(writers)
        self.files = image_files(self.writers, landmark_codes, include_identifiers, model)

    def _keep(self, prediction: LandmarkPrediction, pixels: np.ndarray, seconds: float) -> None:
        """Make the files of one image, and say which have nothing to write, each with its reason."""
        if self.measurements is not None:
            prediction = replace(prediction, measurements=self.measurements.measure(prediction))
        contents, skipped = {}, []
        for name, make in self.files.items():
            try:
                contents[name] = make(prediction, pixels)
            except NothingToWrite as reason:
                skipped.append((name, str(reason)))
        self.journal.append(prediction, seconds, contents, skipped)

    def _write(self, found: Sequence[Finding]) -> None:
        predictions = [one.prediction for one in found]
        write_landmarks(self.output_dir, self.names, predictions)
        write_poses(self.output_dir, predictions)
        if self.measurements is not None:
            write_measurements(self.output_dir, predictions)
        if COCO in self.writers:
            files = (self.journal.cases.name_of(one.path) for one in predictions)
            write_coco(self.output_dir, self.names, zip(predictions, files))
        if "sr" in self.writers:  # only this writer has reasons to write nothing
            notes = [(one.prediction.image_id, *note) for one in found for note in one.skipped]
            path = write_notes(self.output_dir, notes)
            for _, _, note in notes[:10]:
                print(f"note: {note}", file=sys.stderr)
            if notes:
                print(f"{len(notes)} file(s) not written: {path}", file=sys.stderr)
        self._write_page()
        print(f"{len(found)} image(s) with {len(self.names)} landmarks each: {one_line(str(self.output_dir))}")
        if found:
            same_kind = [one for one in predictions if not one.pose.other_kind]
            confidence = np.mean([one.confidence for one in same_kind or predictions])
            print(f"mean confidence {confidence:.2f}, {mean_seconds(found):.2f} s per image")
        _say_poses(predictions)


def _say_poses(found: Sequence[LandmarkPrediction]) -> None:
    """Name the images of another kind first, then those of the other side, and those that were laid otherwise."""
    named: dict[str, list[str]] = {}
    for one in sorted(found, key=lambda one: (not one.pose.other_kind, not one.pose.mirrored)):
        if one.pose.words():
            what = "mirrored" if one.pose.mirrored else "turned, inverted, scaled or stretched"
            what = "probably of another kind than the template" if one.pose.other_kind else what
            named.setdefault(what, []).append(one.image_id)
    for what, names in named.items():
        print(one_line(f"{len(names)} image(s) {what}: {a_few(names, 5)}"))


@dataclass(frozen=True)
class Evaluation:
    """How far points are from the truth.

    Attributes:
        errors: the error of each landmark of each image, in pixels and in mm.
        summary: what ``metrics.json`` says: ``mre_mm``, ``mre_px``, ``sdr``, ``intervals``, ``per_landmark`` and more.
        figures: the means of ``summary`` under names of their own: ``mre_mm``, infinite where a landmark is lost, and
            for each radius one such as ``sdr_2.0mm``; none where no spacing is known.
        truths: (M, N, 2), the true points that lie in their images, in pixels; NaN where there is none.
    """

    errors: LandmarkErrors
    summary: dict[str, Any]
    figures: dict[str, float]
    truths: np.ndarray

    @classmethod
    def of(
        cls,
        found: Sequence[LandmarkPrediction],
        cases: Cases,
        names: Sequence[str],
        radii: Sequence[float],
        *,
        seconds: float = math.nan,
        failures: Sequence[tuple[str, str]] = (),
        device: torch.device | str = "cpu",
        **draws: Any,
    ) -> Evaluation:
        """Measure.

        Args:
            found: what was found in M images, as it is written.
            cases: the images with their true points, ``label``, of shape (N, 2).
            names: N names.
            radii: radii of the successful detection rate, in mm.
            seconds: mean time per image.
            failures: files that could not be used, each with the reason.
            device: where distances are computed, in double precision.
            **draws: see :func:`bundle.metrics.error_summary.summarise_run`.
        """
        labels = {item["image_id"]: np.asarray(item["label"], dtype=np.float64) for item in cases.items}
        truths, outside = inside_truths(found, [labels[one.image_id] for one in found], names)
        errors = landmark_errors(found, truths, names, device)
        measured = summarise_run(errors, radii, **draws)
        means = {"mre_mm": measured["mre_mm"], **{f"sdr_{of}mm": rate for of, rate in measured["sdr"].items()}}
        figures = {name: value for name, value in means.items() if not math.isnan(value)}
        summary = {
            **measured,
            "seconds_per_image": seconds,
            "images_without_truth": cases.without_truth,
            "truth_without_image": cases.without_image,
            "truth_outside_image": outside,
            "failed_images": [cases.name_of(file) for file, _ in failures],
            "template_left_out": cases.template_copies,
        }
        return cls(errors, json_values(summary), figures, truths)

    def __str__(self) -> str:
        return format_summary(self.summary)

    def save(self, folder: str | Path) -> None:
        """Write ``metrics.json`` and ``metrics.csv`` into a folder, which is made where missing."""
        write_report(Path(folder), self.errors, self.summary)


class EvaluationSaver(RunSaver):
    """Measures the radial errors of a run, and writes ``metrics.json`` and ``metrics.csv`` at its end.

    The means of all images, of those that an earlier start measured as well, are the metrics of the engine: ``mre_mm``
    and for each radius one such as ``sdr_2.0mm``. Of several ranks, rank 0 has them.

    Args:
        template: the annotated image.
        failures: files that could not be read.
        journal: where each image is noted, so that a killed run goes on.
        radii: radii of the successful detection rate, in mm.
        failure_mm: error in mm beyond which a landmark counts as a failure.
        resamples: draws of the bootstrap intervals.
        seed: seed of these draws.
        device: where distances are computed.
        **report: see :class:`RunSaver`.
    """

    kind = "evaluation"

    def __init__(
        self,
        template: Template,
        failures: Failures,
        journal: Journal,
        radii: Sequence[float] = CEPHALOMETRIC_RADII,
        failure_mm: float = FAILURE_MM,
        resamples: int = RESAMPLES,
        seed: int = 0,
        device: torch.device | str = "cpu",
        **report: Any,
    ) -> None:
        super().__init__(template, failures, journal, **report)
        self.radii = positive_radii(radii)
        self.device = device
        self.draws: dict[str, Any] = {"failure_mm": failure_mm, "resamples": resamples, "seed": seed}

    def _merge(self, engine: Engine) -> None:
        super()._merge(engine)
        if is_first():
            self.evaluation = Evaluation.of(
                [one.prediction for one in self.found],
                self.journal.cases,
                self.names,
                self.radii,
                seconds=mean_seconds(self.found),
                failures=self.failures,
                device=self.device,
                **self.draws,
            )
            engine.state.metrics |= self.evaluation.figures

    def _write(self, found: Sequence[Finding]) -> None:
        evaluation = self.evaluation
        evaluation.save(self.output_dir)
        self._write_page(truths=evaluation.truths, measured=evaluation.errors, metrics=evaluation.summary)
        print(evaluation)
        print(f"written to {one_line(str(self.output_dir))}")
