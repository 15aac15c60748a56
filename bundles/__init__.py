"""Builds, stores, serves and verifies bundles; collects their evidence from sources; defines the format."""
