"""What is to be annotated: a protocol that comes with the program, one of the user's, or names typed in."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nicegui import ui

from study import Protocol
from study.protocol import read_protocol, shipped_protocols
from workbench import texts as t
from workbench.bench import Bench
from workbench.shell import Shell, file_button, say, saying_refusals

#: The largest protocol that is taken, in bytes.
MOST_BYTES = 2_000_000


def choose_protocol(bench: Bench, done: Callable[[], None]) -> None:
    """The ways to say what is to be annotated."""

    async def save(protocol: Protocol) -> None:
        with saying_refusals():
            await asyncio.to_thread(bench.study.save_protocol, protocol)
            bench.revision += 1
            say(t.SAVED_PROTOCOL.format(count=len(protocol.names)), "positive")
            done()

    async def use_names() -> None:
        with saying_refusals():
            await save(Protocol.of([line.strip() for line in (names.value or "").splitlines() if line.strip()]))

    async def uploaded(event: Any) -> None:
        with saying_refusals():
            await save(read_protocol(Path(event.file.name), await event.file.read()))

    with ui.element("section").classes("wb-page"):
        ui.label(t.CHOOSE).classes("wb-title").props("role=heading aria-level=1")
        ui.label(t.CHOOSE_HINT)
        with ui.element("div").classes("wb-line"):
            for path in shipped_protocols().values():
                protocol = read_protocol(path)
                ui.button(protocol.title, on_click=lambda protocol=protocol: save(protocol)).props("no-caps")
        names = ui.textarea(t.NAMES).props("outlined")
        ui.button(t.USE_NAMES, on_click=use_names).props("no-caps outline")
        file_button(t.LOAD_PROTOCOL, uploaded, ".json", MOST_BYTES)


def protocol_page(bench: Bench) -> None:
    """The landmarks with their definitions, and the ways to change them."""
    Shell(bench, t.PROTOCOL)
    protocol = bench.study.protocol()
    if protocol is not None:
        with ui.element("section").classes("wb-page"):
            ui.label(protocol.title or t.LANDMARKS).classes("wb-title").props("role=heading aria-level=1")
            with ui.element("table").classes("wb-table"):
                with ui.element("thead"), ui.element("tr"):
                    for text in (t.ABBREVIATION, t.LANDMARK, t.DEFINITION):
                        with ui.element("th").props("scope=col"):
                            ui.label(text)
                with ui.element("tbody"):
                    for landmark in protocol.landmarks:
                        with ui.element("tr"):
                            for text in (landmark.abbreviation, landmark.name, landmark.definition):
                                with ui.element("td"):
                                    ui.label(text)
    choose_protocol(bench, lambda: ui.navigate.to("/"))
