"""Programs that run on a host: sent on standard input, never stored, standard library only."""
