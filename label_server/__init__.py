"""The bundle as a MONAI Label server: annotate one image, train, correct, train again."""
