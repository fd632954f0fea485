"""The AITBC mesh node: a pure machine inside a thin driver."""
