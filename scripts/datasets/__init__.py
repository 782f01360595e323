"""Public and private data sets as one data list: a reader for each layout, checks, and the writing."""
