"""Simulated hand radiographs with exactly known landmarks: a hand laid on the detector, its image, and files of it."""
