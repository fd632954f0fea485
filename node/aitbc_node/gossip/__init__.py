"""Peers, relaying and catch-up, as pure state machines."""
