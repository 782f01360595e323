"""The errors that a user can cause: each message is one sentence that says what to do."""

import re
from collections.abc import Iterator, Sequence

#: Spaces and what moves a cursor, ends a line, or turns the direction of writing.
_NOT_PLAIN = re.compile(r"[\x00-\x20\x7f-\xa0\u200e\u200f\u2028-\u202e\u2066-\u2069]+")


class BundleError(ValueError):
    """Base of every error that the user's input can cause.

    The message names the argument or file, the value received, what was expected and what to do, in one sentence:
    it is shown as it stands, without a traceback (see :mod:`bundle.records.console`).
    """


class ImageError(BundleError):
    """An image file that cannot be read as one 2D radiograph."""


class LandmarkError(BundleError):
    """A landmark file, or the landmarks in it, that cannot be used."""


class CheckpointError(BundleError):
    """A checkpoint that is missing, damaged, or made for something else."""


class EncoderError(BundleError):
    """An encoder that is unknown or whose weights cannot be had."""


class ConfigError(BundleError):
    """A setting of the configuration that is missing or out of range."""


class ExportError(BundleError):
    """A model that cannot be exported, or whose export gives something else."""


class NothingToWrite(BundleError):
    """A file of one image that is not written, for a reason that is no failure: the run goes on without it."""


def find_bundle_error(error: BaseException | None) -> BundleError | None:
    """The error of ours behind an exception, if any: MONAI's config parser wraps what a component raises."""
    return next((one for one in _causes(error) if isinstance(one, BundleError)), None)


def root_cause(error: BaseException) -> BaseException:
    """The exception that all others in a chain of exceptions followed from."""
    return list(_causes(error))[-1]


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__


def one_line(text: str) -> str:
    """A message as one line that every terminal and log can show, whatever file names it holds.

    Args:
        text: any text; runs of spaces and control characters become one space, what is no character ``?``.
    """
    return _NOT_PLAIN.sub(" ", text.encode("utf-8", "replace").decode("utf-8")).strip()


def a_few(names: Sequence[str], limit: int = 3) -> str:
    """The first few of some names, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
