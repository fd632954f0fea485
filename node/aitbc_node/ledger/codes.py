"""Where the ledger's rules find the codes that the whole node shares."""

from aitbc_node.codes import Code, Refusal

__all__ = ["Code", "Refusal"]
