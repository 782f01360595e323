"""Which images may show the other side than the template, as in a mirror."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bundle.errors import ConfigError
from bundle.records.radiograph import Radiograph

#: What :class:`bundle.model.PosedInferer` understands.
NO, YES, AUTO, REFUSE = "no", "yes", "auto", "refuse"

_HEADER_VALUES = {"laterality": frozenset("LR"), "rows_towards": frozenset("APLRHF")}


@dataclass(frozen=True)
class Flip:
    """The setting ``flip``, checked.

    Attributes:
        always: the answer for every image, or None where the file decides; where it says nothing, it is looked for.
        attribute: the attribute of :class:`bundle.records.radiograph.Radiograph` that decides, ``laterality`` or
            ``rows_towards``.
        value: its value in the images to mirror.
    """

    always: str | None = AUTO
    attribute: str = ""
    value: str = ""

    def mirror(self, radiograph: Radiograph) -> str:
        """Whether an image is mirrored: ``"yes"``, ``"no"``, ``"auto"`` to look for both, or ``"refuse"`` if it is."""
        if self.always is not None:
            return self.always
        stated = getattr(radiograph, self.attribute)
        if not stated:
            return AUTO
        return YES if stated[0] == self.value else NO


def parse_flip(setting: Any) -> Flip:
    """Validate the setting ``flip``.

    Args:
        setting: None or False for no image; ``"horizontal"`` or True for all images; ``"auto"`` for those in which
            the pose is found so; ``"refuse"`` to use none of these; ``{"laterality": "L"}`` for images whose file names
            that side; ``{"rows_towards": "P"}`` for images whose columns are counted in that direction of the patient.

    Raises:
        ConfigError: when it is something else.
    """
    if setting is None or setting is False:
        return Flip(NO)
    if setting is True or setting == "horizontal":
        return Flip(YES)
    if setting in (AUTO, REFUSE):
        return Flip(setting)
    if isinstance(setting, Mapping) and len(setting) == 1:
        ((attribute, value),) = setting.items()
        if isinstance(value, str) and value in _HEADER_VALUES.get(attribute, ()):
            return Flip(None, str(attribute), value)
    raise ConfigError(
        f"flip is {setting!r}, expected null, 'horizontal', 'auto', 'refuse', {{'laterality': 'L' or 'R'}} or "
        "{'rows_towards': 'A', 'P', 'L', 'R', 'H' or 'F'}: choose one."
    )
