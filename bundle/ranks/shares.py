"""Which part of the work is whose."""

from __future__ import annotations

from bundle.ranks.group import is_first, rank, ranks


def equal_share(count: int) -> list[int]:
    """Numbers below ``count`` that belong to this rank: every rank has as many, so up to ``ranks - 1`` are left out."""
    return list(range(rank(), count - count % ranks(), ranks()))


def covering_share(count: int) -> list[int]:
    """Numbers below ``count`` that belong to this rank: every rank has as many and none is left out.

    Where the ranks do not divide the count, some of the first numbers belong to two ranks.
    """
    return [index % count for index in range(rank(), -(-count // ranks()) * ranks(), ranks())] if count else []


def batch_share(batch_size: int) -> int:
    """How much of a batch is this rank's, so that all ranks together have the batch that one process would have.

    Where the ranks do not divide it, it is rounded up, and rank 0 says so.
    """
    share = -(-batch_size // ranks())
    if share * ranks() != batch_size and is_first():
        print(f"batch_size {batch_size} over {ranks()} ranks: {share} each, {share * ranks()} together")
    return share
