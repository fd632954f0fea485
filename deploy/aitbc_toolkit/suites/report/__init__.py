"""One page about one run: records in, one HTML file out that opens anywhere, without a network."""
