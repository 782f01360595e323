"""When two names mean the same: whatever the case, however accents are encoded."""

import unicodedata
from collections.abc import Sequence


def folded(name: str) -> str:
    """The form in which names are compared; file systems rewrite accents and case, and so do people."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name.strip()).casefold())


def composed(name: str) -> str:
    """A name with each accent in one piece (Unicode's form NFC), as everybody but old file systems writes it."""
    return unicodedata.normalize("NFC", name)


def same_names(wanted: Sequence[str], found: Sequence[str]) -> list[int] | None:
    """Where each wanted name is among those found.

    Case counts only where it has to, as where ``Li`` and ``LI`` are two landmarks.

    Returns:
        The place of each wanted name in ``found``; None where the names are not the same, one for one.
    """
    for form in (composed, folded):
        places = {form(name): place for place, name in enumerate(found)}
        keys = [form(name) for name in wanted]
        if len(places) == len(found) == len(set(keys)) == len(keys) and set(places) == set(keys):
            return [places[key] for key in keys]
    return None


def unpaired(names: Sequence[str], others: Sequence[str]) -> list[str]:
    """The names that have no other one which means the same."""
    known = {folded(name) for name in others}
    return [name for name in names if folded(name) not in known] or list(names)
