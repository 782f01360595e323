"""The page on which landmarks are placed: the queue, the image, the landmarks, what is measured."""

import asyncio
import html
import math
import time
from typing import Any, get_args
from urllib.parse import quote

from nicegui import ui

from bundle.errors import BundleError
from study import NotReplaced
from study.annotations import State
from workbench import texts as t
from workbench.bench import Bench
from workbench.choose_protocol import choose_protocol
from workbench.editing import Editing
from workbench.radiograph_view import RadiographView
from workbench.shell import Shell, button, icon_button, keep_focus, say, saying_refusals, working

#: What a key or a button says of a landmark.
SETTABLE: dict[str, State] = {state: state for state in get_args(State) if state not in ("placed", "proposed")}


def pixels_of(bench: Bench, image_id: str) -> str:
    """The address of an image's pixels, another one when the file has changed."""
    with saying_refusals():
        path = bench.study.image_file(image_id)
        return f"/pixels/{quote(image_id, safe='')}?{path.stat().st_mtime_ns}"
    return ""


class AnnotatePage:
    """One tab that shows one image at a time.

    Args:
        bench: the workbench.
        image_id: the image to open; empty for the first one of the queue.
    """

    def __init__(self, bench: Bench, image_id: str) -> None:
        self.bench = bench
        self.editing: Editing | None = None
        self.selected: int | None = None
        self.listed: int | None = None  # the landmark that the list was last moved to
        self.beside: str | None = None
        self.shown: Any = None
        self.state: Any = None
        self.rows: list[str] = []
        self.seen = self.template_seen = 0
        self.view: RadiographView
        self.shell = Shell(bench, t.ANNOTATE)
        if bench.study.protocol() is None:
            choose_protocol(bench, lambda: ui.navigate.to("/"))
            return
        with ui.element("div").classes("wb"):
            self._queue()
            self._stage()
            self._side()
        ui.timer(0, lambda: self.open(image_id or (self.rows[0] if self.rows else "")), once=True)
        ui.timer(0.3, self._tick)

    # ---- what there is

    def _queue(self) -> None:
        with ui.element("section").classes("wb-queue").props(f'aria-label="{t.QUEUE}"'):
            with ui.element("div").classes("wb-line"):
                ui.label(t.QUEUE).classes("wb-title wb-grow").props("role=heading aria-level=2")
                self.suggesting = button(t.SUGGEST, t.SUGGEST_HINT, self._suggest, "lightbulb")
            self.grid = ui.aggrid(
                {
                    "columnDefs": [
                        {
                            "headerName": t.IMAGE,
                            "field": "image",
                            "width": 116,
                            "tooltipField": "image",
                            "wrapText": True,
                        },
                        {"headerName": t.REASON, "field": "reason", "flex": 1, "wrapText": True, "autoHeight": True},
                    ],
                    "rowData": self._load_queue(),
                    "rowSelection": {"mode": "singleRow", "checkboxes": False, "enableClickSelection": True},
                    ":getRowId": "(row) => row.data.image",
                    ":onCellKeyDown": "(cell) => { if (cell.event.key === 'Enter') cell.event.target.click(); }",
                    "headerHeight": 30,
                    "rowHeight": 28,
                },
                auto_size_columns=False,
            )
            self.grid.on("cellClicked", self._row_chosen, ["data"])

    def _stage(self) -> None:
        with ui.element("section").classes("wb-stage").props('aria-label="image"'):
            with keep_focus(ui.element("div").classes("wb-tools")):
                self.name = ui.label().classes("wb-title").props("role=heading aria-level=1")
                ui.element("span").classes("wb-grow")
                button(t.FIT, t.FIT_HINT, lambda: self.view.call("fit"))
                button(t.INVERT, t.INVERT_HINT, lambda: self.view.call("invert"))
                button(t.LENS, t.LENS_HINT, lambda: self.view.call("toggleLens")).classes("wb-lens")
                button(t.WINDOW, t.WINDOW_HINT, lambda: self.view.call("toggleMode", "window")).classes("wb-window")
                with ui.button(t.PRESET, icon="tonality").props("flat dense no-caps"), ui.menu():
                    for preset, (centre, width) in t.PRESETS.items():
                        window = {"centre": centre, "width": width}
                        ui.menu_item(preset, lambda window=window: self.view.call("setWindow", window))
                button(t.RULER, t.RULER_HINT, lambda: self.view.call("toggleMode", "line")).classes("wb-ruler")
                button(t.BESIDE, t.BESIDE_HINT, self._toggle_beside, "vertical_split")
            with ui.element("div").classes("wb-views"):
                self.view = RadiographView(self._on_view)
                self.template = RadiographView(self._on_template, readonly=True)
                self.template.set_visibility(False)
            with keep_focus(ui.element("div").classes("wb-tools")):
                icon_button("undo", t.UNDO, "Ctrl+Z", lambda: self._command("undo"))
                icon_button("redo", t.REDO, "Ctrl+Y", lambda: self._command("redo"))
                button(t.NEXT, t.NEXT_HINT, lambda: self._command("next unplaced"), "skip_next")
                self.placed = ui.label().classes("wb-faint")
                ui.element("span").classes("wb-grow")
                self.saved = ui.label().classes("wb-faint wb-saved").props("role=status")
                self.finding = button(t.FIND, t.FIND_HINT, lambda: self._command("find"), "search")
                self.accept = ui.button(t.ACCEPT, on_click=lambda: self._command("accept"), icon="check")
                self.accept.props("dense no-caps").tooltip(t.ACCEPT_HINT)

    def _side(self) -> None:
        protocol = self.bench.study.protocol()
        assert protocol is not None
        with ui.element("section").classes("wb-side").props(f'aria-label="{t.LANDMARKS}" tabindex=0'):
            ui.label(t.LANDMARKS).classes("wb-title").props("role=heading aria-level=2")
            self.items: list[tuple[ui.element, ui.label]] = []
            with ui.element("ul").classes("wb-marks"):
                for index, landmark in enumerate(protocol.landmarks):
                    with ui.element("li"), ui.element("button") as item:
                        item.on("click", lambda _, index=index: self._choose(index))
                        ui.element("span").classes("wb-dot").style(f"background: {protocol.colour(index)}")
                        ui.label(landmark.abbreviation)
                        ui.label(landmark.name.replace("_", " ")).classes("wb-name")
                        state = ui.label().classes("wb-state")
                    self.items.append((item, state))
            self.definition = ui.label().classes("wb-faint wb-definition")
            with keep_focus(ui.element("div").classes("wb-states")):
                for text, hint, command in (
                    (t.ABSENT, t.ABSENT_HINT, "absent"),
                    (t.HIDDEN, t.HIDDEN_HINT, "not visible"),
                    (t.UNCERTAIN, t.UNCERTAIN_HINT, "uncertain"),
                    (t.LOCK, t.LOCK_HINT, "lock"),
                    (t.CLEAR, t.CLEAR_HINT, "open"),
                ):
                    button(text, hint, lambda command=command: self._command(command))
            self.serves = ui.checkbox(t.SERVES, on_change=self._set_template)
            ui.label(t.MEASUREMENTS).classes("wb-title").props("role=heading aria-level=2")
            self.measured = ui.html("", sanitize=False)

    # ---- opening

    async def open(self, image_id: str) -> None:
        """Show an image, to which keys go from then on."""
        if not image_id:
            self.name.set_text(t.EMPTY.format(folder=self.bench.study.folder))
            return
        try:
            self.editing = await asyncio.to_thread(self.bench.editing, image_id)
        except BundleError as error:
            say(str(error), "negative")
            return
        self.selected = next(iter(self.editing.open), 0)
        self.shown = None
        self.name.set_text(image_id)
        self.grid.run_row_method(image_id, "setSelected", True)
        self._show()
        self.view.call("focusMark", self.selected)

    def _show(self) -> None:
        """Bring the page to what is known of the image."""
        editing = self.editing
        if editing is None:
            return
        marks = editing.marks
        self.view.show(
            pixels_of(self.bench, editing.image_id),
            t.RADIOGRAPH.format(image=editing.image_id),
            editing.protocol,
            marks,
            geometry=self.bench.study.geometry(editing.image_id),
            errors=editing.expected_error,
            selected=self.selected,
            seen=self.seen,
        )
        if self.selected != self.listed and self.selected is not None:
            self.listed = self.selected
            reveal = f"getHtmlElement({self.items[self.listed][0].id})?.scrollIntoView({{ block: 'nearest' }})"
            ui.run_javascript(reveal)
        for index, ((item, state), mark) in enumerate(zip(self.items, marks)):
            item.props(f"aria-current={'true' if index == self.selected else 'false'}")
            state.set_text(t.STATES[mark.state] + (f", {t.LOCKED}" if mark.locked else ""))
        count = len(marks)
        proposed = sum(mark.state == "proposed" for mark in marks)
        words = t.PLACED_OF.format(placed=count - len(editing.open), count=count)
        self.placed.set_text(words + (t.OF_THEM.format(proposed=proposed) if proposed else ""))
        self.saved.set_text(said_of(editing))
        self.accept.set_enabled(not editing.open and not editing.accepted)
        self.accept.set_text(t.ACCEPTED_ALREADY if editing.accepted else t.ACCEPT)
        if self.selected is not None:
            self.definition.set_text(editing.protocol.landmarks[self.selected].definition)
        excluded = editing.image_id in self.bench.loop.excluded()
        self.serves.set_visibility(editing.accepted)
        self.serves.set_value(not excluded)
        with saying_refusals():
            self.measured.set_content(measurement_table(self.bench.measure(editing)))
        self._show_beside()

    def _toggle_beside(self) -> None:
        accepted = [image_id for image_id in self.bench.accepted() if image_id != getattr(self.editing, "image_id", "")]
        self.beside = None if self.beside or not accepted else accepted[0]
        self.template.set_visibility(self.beside is not None)
        if not accepted:
            say(t.NO_TEMPLATE)
        self._show_beside()

    def _show_beside(self) -> None:
        editing = self.editing
        if self.beside is None or editing is None:
            return
        with saying_refusals():
            self.template.show(
                pixels_of(self.bench, self.beside),
                t.TEMPLATE_VIEW.format(image=self.beside),
                editing.protocol,
                self.bench.editing(self.beside).marks,
                geometry=self.bench.study.geometry(self.beside),
                selected=self.selected,
                seen=self.template_seen,
            )

    # ---- what happens in the page

    async def _on_view(self, name: str, detail: dict[str, Any]) -> None:
        editing = self.editing
        if editing is None:
            return
        if name == "change":
            if detail["source"] != pixels_of(self.bench, editing.image_id):
                editing = self._of_source(detail["source"]) or editing
            self.seen = detail["sequence"]
            editing.place(int(detail["id"]), float(detail["x"]), float(detail["y"]), str(detail["kind"]))
            if detail["kind"] in ("click", "key") and editing.open:
                self.selected = editing.open[0]
            elif self.selected not in editing.open:
                self.selected = int(detail["id"])
            self._show()
        elif name == "select":
            self.seen = detail["sequence"]
            self._choose(detail["id"], focus=False)
        elif name == "command":
            await self._command(str(detail["name"]))
        elif name == "line":
            self._ask_length(float(detail["columns"]))
        elif name == "failed":
            say(t.FAILED.format(message=detail["message"]), "negative")

    def _of_source(self, source: str) -> Editing | None:
        """The image that a late change belongs to."""
        for image_id in self.bench.study.images():
            if source.startswith(f"/pixels/{quote(image_id, safe='')}?"):
                return self.bench.editing(image_id)
        return None

    def _on_template(self, name: str, detail: dict[str, Any]) -> None:
        if name == "select":
            self.template_seen = detail["sequence"]
            self._choose(detail["id"], focus=False)

    def _choose(self, index: int | None, focus: bool = True) -> None:
        self.selected = index
        self._show()
        if focus and index is not None:
            self.view.call("focusMark", index)

    async def _command(self, name: str) -> None:
        editing = self.editing
        if editing is None:
            return
        with saying_refusals():
            if name in ("undo", "redo"):
                getattr(editing, name)()
            elif name == "next unplaced":
                after = [index for index in editing.open if self.selected is None or index > self.selected]
                self.selected = next(iter([*after, *editing.open]), self.selected)
                self.view.call("focusMark", self.selected)
            elif name in SETTABLE and self.selected is not None:
                editing.set_state(self.selected, SETTABLE[name])
                if name in ("absent", "not visible") and editing.open:
                    self.selected = editing.open[0]
            elif name == "lock" and self.selected is not None:
                editing.lock(self.selected)
            elif name == "find":
                await self._find()
            elif name == "accept":
                await self._accept()
            elif name == "to the landmark":
                self.view.call("reveal")
                self.template.call("reveal")
            elif name in ("previous image", "next image"):
                await self._step(1 if name == "next image" else -1)
        self._show()

    async def _step(self, by: int) -> None:
        if self.editing is not None and self.editing.image_id in self.rows:
            at = self.rows.index(self.editing.image_id) + by
            if 0 <= at < len(self.rows):
                await self.open(self.rows[at])

    async def _find(self) -> None:
        editing = self.editing
        assert editing is not None
        started = time.monotonic()
        with working(self.finding):
            proposal = await asyncio.to_thread(self.bench.loop.find, editing.image_id)
        editing.take_proposal(proposal)
        say(t.FOUND_IN.format(seconds=time.monotonic() - started), "positive")

    async def _accept(self) -> None:
        editing = self.editing
        assert editing is not None
        try:
            await editing.accept()
        except NotReplaced:
            self._conflict()
            return
        say(t.SAVED_IMAGE.format(image=editing.image_id), "positive")
        self.bench.revision += 1
        if self.bench.loop.templates():
            await asyncio.to_thread(self.bench.loop.start)
        self._refresh_queue()
        after = [row for row in self.rows if row not in self.bench.accepted()]
        if after:
            await self.open(after[0])

    def _conflict(self) -> None:
        editing = self.editing
        assert editing is not None
        with ui.dialog(value=True) as dialog, ui.card():
            dialog.props["aria-label"] = t.CONFLICT.format(image=editing.image_id)
            ui.label(t.CONFLICT.format(image=editing.image_id))

            def theirs() -> None:
                with saying_refusals():
                    editing.discard()
                dialog.close()
                self._show()

            def mine() -> None:
                editing.overrule()
                dialog.close()

            ui.button(t.TAKE_THEIRS, on_click=theirs).props("no-caps")
            ui.button(t.KEEP_MINE, on_click=mine).props("no-caps")

    def _ask_length(self, columns: float) -> None:
        with ui.dialog(value=True) as dialog, ui.card():
            dialog.props["aria-label"] = t.RULER
            ui.label(t.LENGTH_IS.format(columns=columns))
            length = ui.number(t.LENGTH, min=0.001, max=100_000).props("autofocus").classes("full-width")
            others = ui.checkbox(t.SPACING_OF_OTHERS)

            async def use() -> None:
                with saying_refusals(), working(used):
                    assert self.editing is not None
                    image_id, millimetres = self.editing.image_id, float(length.value or 0) / max(columns, 1e-6)
                    given = await asyncio.to_thread(self.bench.study.save_spacing, image_id, millimetres, others.value)
                    say(t.SPACING_SET.format(count=len(given)), "positive")
                    self.bench.revision += 1
                    dialog.close()
                    self._show()

            length.on("keydown.enter", use)
            used = ui.button(t.SET_SPACING, on_click=use).props("no-caps")
            dialog.on("hide", lambda: self.view.call("setMode", "pan"))

    async def _set_template(self, event: Any) -> None:
        editing = self.editing
        if editing is not None and editing.accepted and event.value == (editing.image_id in self.bench.loop.excluded()):
            with saying_refusals():
                await asyncio.to_thread(self.bench.loop.set_template, editing.image_id, event.value)
                if self.bench.loop.templates():
                    await asyncio.to_thread(self.bench.loop.start)

    async def _suggest(self) -> None:
        with saying_refusals(), working(self.suggesting):
            found = await asyncio.to_thread(self.bench.loop.suggest)
            if found is None:
                say(t.NONE_LEFT)
            else:
                await self.open(found)
                say(t.SUGGESTED.format(image=found))

    # ---- the queue

    async def _row_chosen(self, event: Any) -> None:
        await self.open(event.args["data"]["image"])

    def _load_queue(self) -> list[dict[str, str]]:
        self.state = self.bench.state
        rows = self.bench.queue()
        self.rows = [row.image for row in rows]
        return [{"image": row.image, "reason": row.reason} for row in rows]

    def _refresh_queue(self) -> None:
        """Only the rows: a grid that is drawn anew forgets where it was scrolled to."""
        self.grid.run_grid_method("setGridOption", "rowData", self._load_queue())

    def _tick(self) -> None:
        editing = self.editing
        if self.state != self.bench.state:
            self._refresh_queue()
            if editing is not None:
                with saying_refusals():
                    editing.propose_again()
        if editing is None:
            return
        if editing.trouble:
            sentence, editing.trouble = editing.trouble, ""
            self._conflict() if sentence == "conflict" else say(sentence, "negative")
        now = (editing.image_id, tuple(editing.marks), said_of(editing), self.selected)
        if now != self.shown:
            self.shown = now
            self._show()


def said_of(editing: Editing) -> str:
    """Whether what was done is on the disk, in a word."""
    if editing.failed:
        return t.UNSAVED
    if not editing.saved:
        return t.SAVING
    return t.ACCEPTED_ALREADY if editing.accepted else t.SAVED


def measurement_table(values: list[Any]) -> str:
    """The measurements of an image as a table of HTML; nothing in it comes from outside but names of our own files."""
    if not values:
        return f'<p class="wb-faint">{t.NO_MEASUREMENTS}</p>'
    units = {"mm": " mm", "deg": "°", "1": ""}
    rows = []
    for value in values:
        known = math.isfinite(value.value)
        text = f"{value.value:.{value.decimals}f}{units[value.unit]}" if known else "-"
        if known and math.isfinite(value.uncertainty) and value.uncertainty > 0:
            text += f" ± {value.uncertainty:.{value.decimals}f}"
        low, high = value.normal_range or (None, None)
        usual = "" if low is None and high is None else t.NORMAL.format(low="" if low is None else low, high=high or "")
        title = html.escape(value.title + (f": {value.note}" if value.note else ""))
        out = value.normal is False
        mark = f' class="n wb-out" title="{t.OUTSIDE}"' if out else ' class="n"'
        star = " !" if out else ""
        rows.append(
            f'<tr title="{title}"><th scope="row">{html.escape(value.name)}</th><td{mark}>{text}{star}</td>'
            f'<td class="n wb-faint">{usual}</td></tr>'
        )
    return f'<table class="wb-table"><tbody>{"".join(rows)}</tbody></table>'
