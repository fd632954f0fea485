"""The consensus algorithm of arXiv:1807.04938; it orders opaque block ids."""
