"""Which version of the node this is; hosts run it from a checkout, so no package metadata tells."""

VERSION = "0.1.0"
