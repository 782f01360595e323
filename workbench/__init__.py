"""The workbench: annotate one image in the browser, see the points on all others, correct, and watch the error fall."""
