"""The ledger as named pure steps; it knows nothing of consensus, clocks or files."""
