"""Landmark files: one module for each format, and the functions that choose among them by the file's suffix."""

from bundle.io.landmark_files.reader import SUFFIXES, read_landmark_table, read_landmarks
from bundle.io.landmark_files.rows import RowIndex

__all__ = ["SUFFIXES", "RowIndex", "read_landmark_table", "read_landmarks"]
