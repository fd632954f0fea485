"""The append log, sign state and index over a small Disk protocol."""
