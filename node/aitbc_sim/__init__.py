"""The deterministic simulator: the node's machine on virtual time, links and disks."""
