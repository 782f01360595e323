"""Which images may show the other side than the template, as in a mirror."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bundle.errors import ConfigError
from bundle.records.radiograph import Radiograph

#: What the setting ``flip`` says of every image, and how :class:`bundle.model.PosedInferer` is told.
_OF_ALL = {"horizontal": "yes", "auto": "auto", "refuse": "refuse"}

#: Attributes of :class:`bundle.records.radiograph.Radiograph` that may decide, and their values.
_OF_THE_HEADER = {"laterality": "LR", "rows_towards": "APLRHF"}


def check_flip(setting: Any) -> Any:
    """Validate the setting ``flip``.

    Args:
        setting: None or False for no image; ``"horizontal"`` or True for all images; ``"auto"`` for those in which
            the pose is found so; ``"refuse"`` to use none of these; ``{"laterality": "L"}`` for images whose file names
            that side; ``{"rows_towards": "P"}`` for images whose columns are counted in that direction of the patient.

    Returns:
        The same.

    Raises:
        ConfigError: when it is something else.
    """
    by_header = [{name: letter} for name, letters in _OF_THE_HEADER.items() for letter in letters]
    if setting is not None and not isinstance(setting, bool) and setting not in [*_OF_ALL, *by_header]:
        raise ConfigError(
            f"flip is {setting!r}, expected null, 'horizontal', 'auto', 'refuse', {{'laterality': 'L' or 'R'}} or "
            "{'rows_towards': 'A', 'P', 'L', 'R', 'H' or 'F'}: choose one."
        )
    return setting


def mirror(setting: Any, radiograph: Radiograph) -> str:
    """Whether an image is mirrored: ``"yes"``, ``"no"``, ``"auto"`` to look for both, or ``"refuse"`` if it is."""
    if isinstance(setting, Mapping):
        ((attribute, value),) = setting.items()
        stated = getattr(radiograph, attribute)
        return "auto" if not stated else "yes" if stated[0] == value else "no"
    return _OF_ALL.get(setting, "yes" if setting else "no")
