"""What a run would do, said without doing it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist

from bundle.data.journal import Journal
from bundle.data.result_folder import CHECKSUMS, ResultFolder
from bundle.errors import ConfigError, ImageError, one_line
from bundle.io.radiographs import image_kind
from bundle.ranks import is_first

#: What is said of an image whose results an earlier run has written and noted.
_DONE = "done already"


class DryRun:
    """Lists the images of a run, with what would become of each; nothing is computed and nothing is written.

    Of each file only the beginning is read, so a file that is damaged further on is not noticed.

    Args:
        wanted: whether the user asks for this instead of the run.
        journal: the images of the run, and what an earlier run has done of them.
        results: where the run writes to.
        left_out: images that the run leaves out, by the reason, beside the files that are none.

    Raises:
        ConfigError: when ``wanted`` is not true or false, or there are no images.
    """

    def __init__(
        self,
        wanted: bool,
        journal: Journal,
        results: ResultFolder,
        left_out: dict[str, Sequence[str]] | None = None,
    ) -> None:
        if not isinstance(wanted, bool):
            raise ConfigError(f"dry_run is {wanted!r}, expected True or False: give --dry_run, or leave it out.")
        journal.cases.require()  # every run begins here; an engine would log what is missing a second time
        self.wanted = wanted
        self.journal = journal
        self.results = results
        self.left_out = {**journal.cases.left_out, **(left_out or {})}

    def show(self) -> None:
        """Print one line per image and a summary; rank 0 speaks for all."""
        if is_first():
            for line in self._lines():
                print(one_line(line))
        idist.barrier()

    def _lines(self) -> Iterator[str]:
        folder = self.results.path
        count: Counter[str] = Counter()
        for item in self.journal.cases.items:
            action = self._action(item)
            count[action.partition(":")[0]] += 1
            files = ", ".join(file.name for file in self.results.files_of(item["image_id"])) or item["image_id"]
            yield f"{item['image']} -> {files}: {action}"
        for reason, names in self.left_out.items():
            count[reason] += len(names)
            yield from (f"{name}: {reason}" for name in names)
        for name in self.journal.edited:
            yield f"{folder / name}: changed by somebody since a run wrote it, so that the run would not begin"
        for table in (*self.results.tables, CHECKSUMS):
            yield f"{folder / table}: would be {'replaced' if (folder / table).exists() else 'new'}"
        parts = ", ".join(f"{number} {action}" for action, number in count.items())
        yield f"dry run of {len(self.journal.cases.items)} image(s): {parts}; nothing was written to {folder}"

    def _action(self, item: dict[str, Any]) -> str:
        if self.journal.is_done(item["image_id"]):
            return _DONE
        try:
            image_kind(Path(item["image"]))
        except ImageError as error:
            return f"could not be used: {error}"
        present = any(file.exists() for file in self.results.files_of(item["image_id"]))
        return "would be done anew, replacing its files" if present else "would be done"
