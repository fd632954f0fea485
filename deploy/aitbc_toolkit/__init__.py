"""Deploys, proves, breaks and rolls back a mesh."""
