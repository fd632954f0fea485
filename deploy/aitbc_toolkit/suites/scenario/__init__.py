"""Scenarios as files: what is broken, what must hold meanwhile, and what must come back."""
