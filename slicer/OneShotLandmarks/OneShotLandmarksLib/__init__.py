"""The parts of the module; all but ``panel`` and ``point_table`` know nothing of 3D Slicer.

They run on the standard library of Python 3.9 and newer. The shell's client ``scripts/label_client.py`` imports them
from here, so that there is one client, not two.
"""
