"""Reads untrusted bundles and verifies their content."""
