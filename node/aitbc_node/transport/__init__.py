"""Frames and authenticated links between nodes."""
