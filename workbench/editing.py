"""The landmarks of one image while people work on them: changes, undo, and what is on the disk."""

import asyncio
import time
from dataclasses import replace

import numpy as np

from bundle.errors import BundleError
from study import DRAFT, FINAL, Mark, NotReplaced, Protocol, Study
from study.annotations import State
from study.proposals import Proposal, Proposals

#: After so many seconds it is tried again to write what could not be written.
AGAIN = 3.0

#: Nudges of one landmark that follow each other within so many seconds are undone together.
ONE_STEP = 1.0


class Editing:
    """One image, shared by all tabs that show it.

    Every change is noted at once and written by a thread; :attr:`saved` says when the newest is on the disk.

    Args:
        study: the study.
        proposals: what the model found.
        protocol: what is annotated.
        image_id: the image.
        tag: where the annotation goes when it is accepted: that of the reader.
    """

    def __init__(
        self,
        study: Study,
        proposals: Proposals,
        protocol: Protocol,
        image_id: str,
        tag: str = FINAL,
    ) -> None:
        self.study, self.proposals, self.protocol = study, proposals, protocol
        self.image_id, self.tag = image_id, tag
        self.trouble = ""  # what a page has still to say: "conflict", or a sentence
        self.draft = self.draft_of(tag)
        self.geometry = study.geometry(image_id)
        self._undo: list[list[Mark]] = []
        self._redo: list[list[Mark]] = []
        self._last: tuple[int, str, float] = (-1, "", 0.0)
        self._dirty = self._writing = False
        self.failed = False  # whether the disk did not take the newest state
        self.load()

    @staticmethod
    def draft_of(tag: str) -> str:
        """The tag of what is not finished yet, of a reader."""
        return DRAFT if tag == FINAL else f"{DRAFT}-{tag}"

    def load(self) -> None:
        """Take what is on the disk: the draft, else the annotation, else what was found.

        Raises:
            BundleError: when it cannot be read.
        """
        names = self.protocol.names
        self.versions = {tag: self.study.version(self.image_id, tag) for tag in (self.tag, self.draft)}
        proposal = self.proposals.get(self.image_id)
        self.expected_error = np.full(len(names), np.nan)
        if proposal is not None:
            by_name = dict(zip(proposal.names, proposal.expected_error))
            self.expected_error = np.array([by_name.get(name, np.nan) for name in names])
        final = self._ordered(self.study.marks(self.image_id, self.tag))
        draft = self._ordered(self.study.marks(self.image_id, self.draft))
        self.accepted = final is not None and draft in (None, final)
        found = draft or final or (proposal.marks(names) if proposal is not None else None)
        self.marks: list[Mark] = found or [Mark(name) for name in names]
        self.touched = draft is not None

    def _ordered(self, marks: list[Mark] | None) -> list[Mark] | None:
        if marks is None:
            return None
        by_name = {mark.name: mark for mark in marks}
        return [by_name.get(name, Mark(name)) for name in self.protocol.names]

    @property
    def saved(self) -> bool:
        """Whether all that was done is on the disk."""
        return not self._dirty and not self._writing

    @property
    def open(self) -> list[int]:
        """Numbers of the landmarks that are neither placed nor said to be absent or hidden."""
        return [index for index, mark in enumerate(self.marks) if mark.state == "open"]

    # ---- changes

    def place(self, index: int, x: float, y: float, kind: str) -> None:
        """Put a landmark somewhere, in pixels."""
        mark = self.marks[index]
        if mark.locked:
            return
        state: State = "uncertain" if mark.state == "uncertain" else "placed"
        width, height = self.geometry.width, self.geometry.height
        point = (float(np.clip(x, 0, width - 1)), float(np.clip(y, 0, height - 1)))
        self._change(index, replace(mark, point=point, state=state), kind)

    def set_state(self, index: int, state: State) -> None:
        """Say what is known of a landmark; a second call takes it back."""
        mark = self.marks[index]
        if mark.locked:
            return
        if state == "uncertain":
            if mark.point is not None:
                self._change(index, replace(mark, state="placed" if mark.state == state else state), state)
        else:
            self._change(index, Mark(mark.name, None, "open" if mark.state == state else state), state)

    def lock(self, index: int) -> None:
        """Keep a landmark from being moved, or no longer."""
        self._change(index, replace(self.marks[index], locked=not self.marks[index].locked), "lock")

    def _change(self, index: int, mark: Mark, kind: str) -> None:
        now = time.monotonic()
        last, last_kind, moment = self._last
        if not (kind == "nudge" == last_kind and last == index and now - moment < ONE_STEP):
            self._undo.append(list(self.marks))
        self._last = (index, kind, now)
        self._redo.clear()
        self.marks[index] = mark
        self._changed()

    def undo(self) -> None:
        """Take the last change back."""
        self._step(self._undo, self._redo)

    def redo(self) -> None:
        """Do again what was taken back."""
        self._step(self._redo, self._undo)

    def _step(self, back: list[list[Mark]], forth: list[list[Mark]]) -> None:
        if back:
            forth.append(list(self.marks))
            self.marks = back.pop()
            self._last = (-1, "", 0.0)
            self._changed()

    def take_proposal(self, proposal: Proposal) -> None:
        """Put what was found in the place of what no person placed; it can be undone."""
        found = proposal.marks(self.protocol.names)
        by_name = dict(zip(proposal.names, proposal.expected_error))
        self.expected_error = np.array([by_name.get(name, np.nan) for name in self.protocol.names])
        kept = [
            mark if mark.state not in ("open", "proposed") or mark.locked else new
            for mark, new in zip(self.marks, found)
        ]
        if kept != self.marks and not self.accepted:
            self._undo.append(list(self.marks))
            self._redo.clear()
            self.marks = kept
            self._changed()

    def discard(self) -> None:
        """Take what is on the disk, whatever was done here; it can be undone."""
        self._undo.append(list(self.marks))
        self._dirty = self.failed = False
        self.load()

    def overrule(self) -> None:
        """Put what was done here in the place of what somebody else did, the version of which is now known."""
        self.versions = {tag: self.study.version(self.image_id, tag) for tag in (self.tag, self.draft)}
        self._changed()

    def propose_again(self) -> None:
        """Take what was found anew, where nobody has touched anything."""
        if not self.touched and not self.accepted and self.saved:
            self.load()

    # ---- the disk

    def _changed(self) -> None:
        self._dirty, self.touched, self.accepted = True, True, False
        if not self._writing:
            self._writing = True
            asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        """Write the newest state until none is newer."""
        try:
            while self._dirty:
                self._dirty = False
                await asyncio.to_thread(self._save_draft, list(self.marks))
            self.failed = False
        except NotReplaced:
            self.trouble, self.failed = "conflict", True
        except BundleError as error:
            if not self.failed:  # it is said once
                self.trouble = str(error)
            self._dirty = self.failed = True
            asyncio.get_running_loop().call_later(AGAIN, self._again)
        finally:
            self._writing = False

    def _again(self) -> None:
        if self.failed and self._dirty:
            self._changed()

    def _save_draft(self, marks: list[Mark]) -> None:
        before = self.versions[self.draft]
        self.versions[self.draft] = self.study.save_marks(self.image_id, marks, self.draft, before, self.tag)

    async def settle(self) -> None:
        """Wait until all that was done is on the disk, or could not be written."""
        while self._writing:
            await asyncio.sleep(0.005)

    async def accept(self) -> None:
        """Save the annotation; the draft has then done its duty.

        Raises:
            NotReplaced: when somebody else has saved another annotation meanwhile.
            BundleError: when a landmark is open, or the study cannot be changed.
        """
        await self.settle()
        marks = list(self.marks)
        self.versions[self.tag] = await asyncio.to_thread(
            self.study.save_marks, self.image_id, marks, self.tag, self.versions[self.tag], self.tag
        )
        if self.versions[self.draft]:
            await asyncio.to_thread(self.study.remove, self.image_id, self.draft)
            self.versions[self.draft] = ""
        self.accepted, self.touched = True, False
        self._dirty = self.failed = False
