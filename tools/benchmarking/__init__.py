"""The parts of ``scripts/benchmark.py``: the two methods, the tasks that are timed, and the report."""
