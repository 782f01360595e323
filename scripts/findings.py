"""What scripts/compare_runs.py and scripts/reader_agreement.py share: they find something, say it, and write it."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bundle.io.overwriting import refuse_to_overwrite
from bundle.writers.files import write_json


def present(
    find: Callable[[], dict[str, Any]],
    summary: Callable[[dict[str, Any]], str],
    output: Path | None,
    inputs: Iterable[Any],
) -> None:
    """Find, write and print.

    Args:
        find: gives what was found, as values of JSON; NaN becomes null.
        summary: the same as lines for the terminal.
        output: JSON file to write; None for none.
        inputs: the files that are read, as :func:`bundle.io.overwriting.refuse_to_overwrite` takes them.

    Raises:
        BundleError: when a file cannot be used or written.
    """
    refuse_to_overwrite([output] if output else [], inputs)
    found = find()
    if output is not None:
        write_json(output, found)
    print(summary(found))
