"""Out of a study by the bundle's writers, and into it from every landmark file that the bundle reads."""

import shutil
import zipfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bundle.errors import BundleError, LandmarkError, NothingToWrite
from bundle.io.landmark_files import RowIndex, read_landmark_table, read_landmarks
from bundle.io.template import read_template
from bundle.measurements import MeasurementPlan
from bundle.metrics.error_summary import CEPHALOMETRIC_RADII, summarise_run
from bundle.metrics.landmark_metrics import landmark_errors
from bundle.records.landmarks import LandmarkSet
from bundle.records.prediction import LandmarkPrediction
from bundle.report.cases import ReportRun, small_jpeg
from bundle.report.page import write_page
from bundle.writers.files import atomic_file, output_path
from bundle.writers.image_files import COCO, ENDINGS, image_files
from bundle.writers.run_files import write_coco, write_landmarks, write_measurements, write_notes
from study.annotations import DRAFT, Mark, all_placed
from study.folder import Study
from study.journal import note
from study.proposals import Proposals, as_prediction
from study.protocol import Protocol


def export(
    study: Study,
    protocol: Protocol,
    points: Mapping[str, Sequence[Mark]],
    writers: Collection[str],
    plan: MeasurementPlan | None = None,
    model: Path | None = None,
    accepted: Mapping[str, np.ndarray] | None = None,
) -> list[Path]:
    """Write files of images into the folder ``export`` of the study's own, and all of them into ``export.zip``.

    Args:
        study: the study.
        protocol: its landmarks.
        points: the landmarks of each image.
        writers: any of ``csv``, ``markups``, ``json``, ``coco``, ``overlay``, ``sr``, ``report`` and ``model``.
        plan: what is measured.
        model: the trained model, for ``model``.
        accepted: the points that people accepted by image, (N, 2) each, for ``report``.

    Returns:
        The files; what could not be written for an image stands in ``notes.csv``.

    Raises:
        BundleError: when the folder cannot be written.
    """
    folder = study.own / "export"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    proposals = Proposals(study)
    notes: list[tuple[str, str, str]] = []
    done: list[LandmarkPrediction] = []
    makers = image_files([name for name in ENDINGS if name in writers])
    for image_id, marks in points.items():
        name = ""  # of the writer that has nothing to write
        try:
            found = as_prediction(marks, study.geometry(image_id), image_id)
            known = proposals.get(image_id, protocol.names)
            if known is not None and list(marks) == known.marks(protocol.names):
                found = known  # with all that is known of it
            if plan is not None:
                found = replace(found, measurements=plan.measure(found))
            done.append(found)
            for name, make in makers.items():
                pixels = study.radiograph(image_id).pixels if name == "overlay" else np.zeros((0, 0))
                with atomic_file(output_path(folder, image_id, ENDINGS[name]), binary=True) as file:
                    file.write(make(found, pixels))
        except BundleError as error:
            notes.append((image_id, name, str(error)))
    if COCO in writers:
        write_coco(folder, protocol.names, [(found, found.path.name) for found in done])
    if "csv" in writers:
        write_landmarks(folder, protocol.names, done)
        if plan is not None:
            write_measurements(folder, done)
    if "model" in writers and model is not None and model.is_file():
        shutil.copyfile(model, folder / "model.pt")
    elif "model" in writers:
        notes.append(("", "model", "there is none before the training on two accepted images has ended."))
    if "report" in writers:
        try:
            _write_report(folder / "report.html", proposals, protocol, points, accepted or {})
        except BundleError as error:
            notes.append(("", "report", str(error)))
    if notes:
        write_notes(folder, notes)
    files = sorted(path for path in folder.iterdir() if path.is_file())
    with atomic_file(study.own / "export.zip", binary=True) as file, zipfile.ZipFile(file, "w") as archive:
        for path in files:
            archive.write(path, path.name)
    note(study.journal, "exported", files=len(files))
    return files


def _write_report(
    path: Path,
    proposals: Proposals,
    protocol: Protocol,
    points: Collection[str],
    accepted: Mapping[str, np.ndarray],
) -> None:
    """The report of what was found: against what was accepted, where that was found before, else alone."""
    found = [one for image_id in points if (one := proposals.get(image_id, protocol.names)) is not None]
    study = proposals.study
    templates = [case for case in study.annotated() if all_placed(case.label)]
    if not found or not templates:
        raise NothingToWrite("nothing was found in the images, which is what the report shows.")
    template = read_template(str(templates[0].image), str(templates[0].label))
    run = ReportRun("inference", found, template)
    measured, truths = proposals.of_accepted(protocol.names, accepted)
    if measured:
        errors = landmark_errors(measured, truths, protocol.names)
        metrics = summarise_run(errors, CEPHALOMETRIC_RADII)
        run = ReportRun("evaluation", measured, template, (), truths, errors, metrics)

    def picture(image_id: str) -> bytes:
        return small_jpeg(study.radiograph(image_id).pixels)

    write_page(path, run, picture)


def bring_in(study: Study, protocol: Protocol, file: Path) -> list[str]:
    """Take the annotations of a file as drafts, for people to look at and accept.

    Args:
        study: the study.
        protocol: its landmarks.
        file: landmarks of one image, whose name the file has, or a table of many.

    Returns:
        The images that got a draft.

    Raises:
        LandmarkError: when the file cannot be used, or the study has no image of its name.
        BundleError: when the study cannot be changed.
    """
    images = study.images()
    table: Mapping[str, LandmarkSet] = {}
    if file.name.lower().endswith(".csv"):
        try:
            table = read_landmark_table(file)
        except LandmarkError:
            table = {}  # of one image: read below, which says what is wrong with it
    if table:
        index = RowIndex(table)
        rows = {image_id: index.find(path, image_id) for image_id, path in images.items()}
        found = {image_id: table[row] for image_id, row in rows.items() if row is not None}
    else:
        stem = file.name
        for ending in (".mrk.json", ".json", ".csv", ".dcm"):
            stem = stem[: -len(ending)] if stem.lower().endswith(ending) else stem
        if stem not in images:
            raise LandmarkError(f"the study has no image {stem!r}, which {file.name} is named after: rename the file.")
        found = {stem: read_landmarks(file, study.geometry(stem), stem)}
    if not found:
        raise LandmarkError(f"{file.name} names no image of the study: check the column image.")
    for image_id, landmarks in found.items():
        ordered = landmarks.in_order_of(protocol.names, file.name)
        geometry = study.geometry(image_id)
        ordered.require_inside(geometry.width, geometry.height, file.name, missing=True)
        marks = [
            Mark(name, (float(x), float(y)), "placed") if np.isfinite([x, y]).all() else Mark(name, None, "not visible")
            for name, (x, y) in zip(ordered.names, ordered.points)
        ]
        study.save_marks(image_id, marks, DRAFT, study.version(image_id, DRAFT))
    note(study.journal, "imported", images=sorted(found))
    return sorted(found)
