"""Ranks: the processes that share the work of one run. A run without others is rank 0 of one."""

from bundle.ranks.exchange import barrier, from_first, of_all, sum_over_ranks
from bundle.ranks.group import end_ranks, is_first, rank, rank_device, ranks, refuse_uninvited_ranks, start_ranks
from bundle.ranks.shares import batch_share, covering_share, equal_share

__all__ = [
    "barrier",
    "batch_share",
    "covering_share",
    "end_ranks",
    "equal_share",
    "from_first",
    "is_first",
    "of_all",
    "rank",
    "rank_device",
    "ranks",
    "refuse_uninvited_ranks",
    "start_ranks",
    "sum_over_ranks",
]
