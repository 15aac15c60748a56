"""Bundles, their stores, sources and timelines."""
