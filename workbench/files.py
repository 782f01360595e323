"""Files out of the study, and annotations into it."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from nicegui import ui

from bundle.errors import BundleError, ConfigError
from study import Mark
from study.loop import import_monai
from workbench import texts as t
from workbench.bench import Bench
from workbench.shell import Shell, file_button, say, saying_refusals

#: The largest annotation that is taken, in bytes.
MOST_BYTES = 50_000_000


def points_of(bench: Bench, everything: bool) -> dict[str, list[Mark]]:
    """The landmarks of the accepted images, or of all that have any."""
    protocol = bench.study.protocol()
    found: dict[str, list[Mark]] = {}
    for image_id in bench.accepted():
        marks = bench.study.marks(image_id, bench.tag)
        if marks is not None:
            found[image_id] = marks
    if everything and protocol is not None:
        for proposal in bench.proposals():
            found[proposal.image_id] = proposal.marks(protocol.names)
        for case in bench.study.annotated("draft"):
            marks = bench.study.marks(case.image_id, "draft")
            if marks is not None and any(mark.point for mark in marks):
                found[case.image_id] = marks
    return dict(sorted(found.items()))


def write_files(bench: Bench, everything: bool, writers: list[str]) -> list[Path]:
    """Write what was chosen.

    Raises:
        BundleError: when there is nothing to write, or it cannot be written.
    """
    import_monai()
    from study.exchange import export

    protocol, points = bench.study.protocol(), points_of(bench, everything)
    if protocol is None or not points:
        raise ConfigError(t.NOTHING_TO_EXPORT)
    return export(bench.study, protocol, points, writers, bench.plan(), bench.loop.model_path, bench.accepted())


def files_page(bench: Bench) -> None:
    """The page of files."""
    Shell(bench, t.FILES)

    async def write() -> None:
        with saying_refusals():
            wanted = [name for name, box in boxes.items() if box.value]
            files = await asyncio.to_thread(write_files, bench, which.value == t.ALL_KNOWN, wanted)
            words = t.WRITTEN.format(count=len(files), folder=bench.study.own / "export")
            noted = any(path.name == "notes.csv" for path in files)
            said.set_text(f"{words} {t.NOT_WRITTEN}" if noted else words)
            download.set_visibility(True)

    async def uploaded(event: Any) -> None:
        content = await event.file.read()
        name = Path(event.file.name.replace("\\", "/")).name
        try:
            images = await asyncio.to_thread(_bring_in, bench, name, content)
            bench.revision += 1
            say(t.IMPORTED.format(count=len(images)), "positive")
        except BundleError as error:
            say(t.NOT_IMPORTED.format(file=name, reason=error), "negative")

    with ui.element("section").classes("wb-page"):
        ui.label(t.EXPORT).classes("wb-title").props("role=heading aria-level=1")
        ui.label(t.EXPORT_HINT.format(folder=bench.study.own / "export"))
        which = ui.radio([t.ONLY_ACCEPTED, t.ALL_KNOWN], value=t.ONLY_ACCEPTED).props("inline")
        with ui.element("div").classes("wb-line"):
            boxes = {name: ui.checkbox(text, value=name == "csv") for name, text in t.WRITERS.items()}
        ui.button(t.WRITE, on_click=write).props("no-caps")
        said = ui.label().props("role=status")
        download = ui.link(t.DOWNLOAD, "/export.zip")
        download.set_visibility(False)
        ui.label(t.IMPORT).classes("wb-title").props("role=heading aria-level=2")
        ui.label(t.IMPORT_HINT)
        file_button(t.CHOOSE_FILES, uploaded, ".json,.csv,.dcm", MOST_BYTES, multiple=True)


def _bring_in(bench: Bench, name: str, content: bytes) -> list[str]:
    import_monai()
    from study.exchange import bring_in

    protocol = bench.study.protocol()
    if protocol is None:
        raise ConfigError(t.NO_PROTOCOL)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / (name or "file")
        path.write_bytes(content)
        try:
            return bring_in(bench.study, protocol, path)
        except BundleError as error:
            raise type(error)(str(error).replace(f"{folder}/", "")) from error
