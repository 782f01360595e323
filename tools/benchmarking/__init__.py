"""The parts of ``tools/benchmark.py``: what is measured, each in a process of its own."""
