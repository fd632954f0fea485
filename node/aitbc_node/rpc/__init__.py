"""The HTTP interface: records, pure dispatch, server."""
