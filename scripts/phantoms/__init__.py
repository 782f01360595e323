"""Simulated hand radiographs with exactly known landmarks: anatomy, ray geometry, image formation and files."""
