"""One landmark through all images: crops around it, the most doubtful first, to confirm or to drag in place."""

import asyncio
import math
from typing import Any
from urllib.parse import quote

from nicegui import ui

from study import Protocol
from study.queue import doubt_of_landmark
from workbench import texts as t
from workbench.bench import Bench
from workbench.editing import Editing
from workbench.radiograph_view import RadiographView
from workbench.shell import Shell, button, say, saying_refusals

#: Crops on a page.
PER_PAGE = 18

#: The part of the image's long side that a crop shows.
SHARE = 0.1


class Tile:
    """The surroundings of one landmark in one image.

    Args:
        bench: the workbench.
        editing: the image.
        index: the landmark.
    """

    def __init__(self, bench: Bench, editing: Editing, index: int) -> None:
        self.bench, self.editing, self.index = bench, editing, index
        width, height = editing.geometry.width, editing.geometry.height
        self.side = max(64, min(4096, round(SHARE * max(width, height))))
        x, y = editing.marks[index].point or (width / 2, height / 2)
        self.origin = (
            int(max(0, min(width - self.side, round(x - self.side / 2)))),
            int(max(0, min(height - self.side, round(y - self.side / 2)))),
        )
        self.seen = 0
        with ui.element("article").classes("wb-tile") as tile:
            tile.props["aria-label"] = editing.image_id
            with ui.element("div").classes("wb-line"):
                ui.link(editing.image_id, f"/?image={quote(editing.image_id, safe='')}").classes("wb-grow")
                self.state = ui.label().classes("wb-faint")
            self.view = RadiographView(self._on_view)
            self.confirming = ui.button(t.CONFIRM, on_click=self.confirm, icon="check").props("flat dense no-caps")
        self.show()

    def show(self) -> None:
        """Bring the tile to what is known."""
        editing, mark = self.editing, self.editing.marks[self.index]
        column, row = self.origin
        self.view.show(
            f"/crop/{self.side}/{column}/{row}/{quote(editing.image_id, safe='')}",
            f"{mark.name}, {editing.image_id}",
            editing.protocol,
            editing.marks,
            geometry=editing.geometry,
            errors=editing.expected_error,
            selected=self.index,
            seen=self.seen,
            only=self.index,
            origin=self.origin,
        )
        error = editing.expected_error[self.index]
        spacing = editing.geometry.spacing
        known = mark.state == "proposed" and math.isfinite(error)
        scale, unit = (1.0, "px") if spacing is None else (math.sqrt(spacing[0] * spacing[1]), "mm")
        words = f" {error * scale:.1f} {unit}" if known else ""
        self.state.set_text((t.CONFIRMED if mark.state == "placed" else t.STATES[mark.state]) + words)
        self.confirming.set_visibility(mark.state == "proposed")

    async def _on_view(self, name: str, detail: dict[str, Any]) -> None:
        if name == "change":
            self.seen = detail["sequence"]
            x, y = float(detail["x"]) + self.origin[0], float(detail["y"]) + self.origin[1]
            self.editing.place(self.index, x, y, str(detail["kind"]))
        elif name == "command" and detail["name"] in ("undo", "redo"):
            getattr(self.editing, detail["name"])()
        elif name == "command" and detail["name"] in ("absent", "not visible", "uncertain", "open"):
            self.editing.set_state(self.index, detail["name"])
        elif name == "command" and detail["name"] == "accept":
            self.confirm()
        elif name == "failed":
            say(t.FAILED.format(message=detail["message"]), "negative")
        self.show()

    def confirm(self) -> None:
        """A person says that the point is right."""
        mark = self.editing.marks[self.index]
        if mark.point is not None and mark.state == "proposed":
            self.editing.place(self.index, *mark.point, "confirm")
        self.show()


async def sheet_page(bench: Bench, landmark: int, start: int) -> None:
    """The contact sheet of one landmark."""
    Shell(bench, t.SHEET)
    protocol: Protocol | None = bench.study.protocol()
    proposals = await asyncio.to_thread(bench.proposals)
    with ui.element("section").classes("wb-page"):
        ui.label(t.SHEET).classes("wb-title").props("role=heading aria-level=1")
        if protocol is None or not proposals:
            ui.label(t.NOTHING_FOUND)
            return
        landmark = min(max(0, landmark), len(protocol.names) - 1)
        doubt = doubt_of_landmark(proposals, landmark)
        order = sorted(range(len(proposals)), key=lambda number: (-doubt[number], proposals[number].image_id))
        start = min(max(0, start), max(0, len(order) - 1))
        names = {index: one.name.replace("_", " ") for index, one in enumerate(protocol.landmarks)}
        with ui.element("div").classes("wb-line"):
            ui.select(
                names,
                value=landmark,
                label=t.SHEET_OF,
                on_change=lambda e: ui.navigate.to(f"/sheet?landmark={e.value}"),
            ).props("dense outlined")
            ui.label(protocol.landmarks[landmark].definition).classes("wb-faint wb-grow")
        ui.label(t.ORDER_HINT)
        tiles: list[Tile] = []
        frame = ui.element("div").classes("wb-tiles")

        async def fill() -> None:
            """Tile by tile, for each takes reading an image."""
            for number in order[start : start + PER_PAGE]:
                with saying_refusals():
                    editing = await asyncio.to_thread(bench.editing, proposals[number].image_id)
                    with frame:
                        tiles.append(Tile(bench, editing, landmark))

        ui.timer(0, fill, once=True)
        with ui.element("div").classes("wb-line"):

            def confirm_all() -> None:
                for tile in tiles:
                    tile.confirm()

            button(t.CONFIRM_ALL, "", confirm_all, "done_all")
            for text, place in ((t.BEFORE, start - PER_PAGE), (t.AFTER, start + PER_PAGE)):
                if -PER_PAGE < place < len(order):
                    ui.link(text, f"/sheet?landmark={landmark}&start={max(0, place)}")
            if landmark + 1 in names:
                ui.link(t.NEXT_LANDMARK.format(name=names[landmark + 1]), f"/sheet?landmark={landmark + 1}")
