"""What all pages of a workbench share: the study, the loop, and the images that people work on."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np

from bundle import CONFIGS
from bundle.errors import BundleError
from bundle.measurements import MeasurementPlan, read_measurements
from study import FINAL, Protocol, Study
from study.loop import Loop
from study.proposals import Proposal, as_prediction
from study.queue import Doubt, rank
from workbench import texts as t
from workbench.editing import Editing

#: Images that are held for editing; those that were not used for longest are forgotten, for all is on the disk.
MOST_EDITED = 64


@dataclass(frozen=True)
class Row:
    """An image in the queue, and in words its state and why it stands where it does."""

    image: str
    reason: str


class Bench:
    """The state of one workbench.

    Args:
        study: the study.
        loop: what finds landmarks.
        tag: where annotations go: ``final``, or the name of a second reader.
    """

    def __init__(self, study: Study, loop: Loop, tag: str = FINAL) -> None:
        self.study, self.loop, self.tag = study, loop, tag
        self.revision = 0
        self._editings: OrderedDict[str, Editing] = OrderedDict()
        self._plan: tuple[Protocol, MeasurementPlan | None] | None = None
        self._accepted: dict[str, tuple[str, np.ndarray]] = {}

    @property
    def state(self) -> tuple[int, int]:
        """Changes whenever the queue may have changed."""
        return self.revision, self.loop.changed

    def editing(self, image_id: str) -> Editing:
        """The image, for editing.

        Raises:
            BundleError: when it cannot be read, or nothing is said about what to annotate.
        """
        protocol = self.study.protocol()
        if protocol is None:
            raise BundleError(t.NO_PROTOCOL)
        found = self._editings.get(image_id)
        if found is None or found.protocol != protocol:
            found = Editing(self.study, self.loop.proposals, protocol, image_id, self.tag)
            self._editings[image_id] = found
        elif found.saved and any(self.study.version(image_id, tag) != seen for tag, seen in found.versions.items()):
            found.load()  # another program has changed it
        found.propose_again()
        self._editings.move_to_end(image_id)
        while len(self._editings) > MOST_EDITED and next(iter(self._editings.values())).saved:
            self._editings.popitem(last=False)
        return found

    def accepted(self) -> dict[str, np.ndarray]:
        """The points of accepted images by id, (N, 2), in the protocol's order."""
        protocol = self.study.protocol()
        if protocol is None:
            return {}
        found = {}
        for case in self.study.annotated(self.tag):
            version = self.study.version(case.image_id, self.tag)
            known = self._accepted.get(case.image_id)
            if known is None or known[0] != version or len(known[1]) != len(protocol.names):
                try:
                    by_name = {mark.name: mark.point for mark in self.study.marks(case.image_id, self.tag) or ()}
                except BundleError:
                    continue
                points = np.array([by_name.get(name) or (np.nan, np.nan) for name in protocol.names])
                known = self._accepted[case.image_id] = (version, points)
            found[case.image_id] = known[1]
        return found

    def proposals(self) -> list[Proposal]:
        """What was found in the images that nobody accepted, with the protocol's landmarks."""
        protocol = self.study.protocol()
        if protocol is None:
            return []
        done = {case.image_id for case in self.study.annotated(self.tag)}
        known = (self.loop.proposals.get(name, protocol.names) for name in self.study.images() if name not in done)
        return [one for one in known if one is not None]

    def queue(self) -> list[Row]:
        """The images: those with the greatest doubt first, then those without points, then the accepted ones."""
        protocol = self.study.protocol()
        accepted = self.accepted()
        drafts = {case.image_id for case in self.study.annotated(Editing.draft_of(self.tag))}
        ranked = rank(self.proposals(), protocol, list(accepted.values())) if protocol is not None else []
        rows = {}
        for one in ranked:
            known = [t.STARTED] if one.image_id in drafts else []
            rows[one.image_id] = ": ".join([*known, words(one, protocol) or t.FOUND])
        for image_id in self.study.images():
            if image_id in self.loop.failed:
                rows[image_id] = f"{t.BROKEN}: {self.loop.failed[image_id]}"
            elif image_id not in accepted:
                rows.setdefault(image_id, t.STARTED if image_id in drafts else t.NEW)
        return [Row(*row) for row in [*rows.items(), *((image_id, t.ACCEPTED) for image_id in sorted(accepted))]]

    def plan(self) -> MeasurementPlan | None:
        """What is measured; None for nothing.

        Raises:
            BundleError: when the definitions do not fit the landmarks.
        """
        protocol = self.study.protocol()
        if protocol is None:
            return None
        if self._plan is None or self._plan[0] != protocol:
            name = protocol.measurements
            self._plan = (protocol, read_measurements(CONFIGS / name, protocol.names) if name else None)
        return self._plan[1]

    def measure(self, editing: Editing) -> list[Any]:
        """The measurements of an image as it is now."""
        plan = self.plan()
        if plan is None:
            return []
        error = np.where([mark.state == "proposed" for mark in editing.marks], editing.expected_error, 0.0)
        found = as_prediction(editing.marks, self.study.geometry(editing.image_id), editing.image_id, error)
        return list(plan.measure(found))


def words(doubt: Doubt, protocol: Protocol | None) -> str:
    """Why an image stands where it does."""
    parts = [t.REASONS[reason] for reason in doubt.reasons if reason != "error"]
    if doubt.worst is not None and protocol is not None:
        worst = t.WORST.format(name=protocol.names[doubt.worst], error=doubt.worst_error, unit=doubt.unit)
        if "error" in doubt.reasons:
            parts.insert(0, f"{t.REASONS['error']}: {worst}")
        else:
            parts.append(t.EXPECTED.format(error=doubt.expected, unit=doubt.unit))
    return ", ".join(parts)
