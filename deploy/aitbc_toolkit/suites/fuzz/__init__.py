"""Everything that reads bytes of strangers, one entry each: what it takes, and what must hold."""
