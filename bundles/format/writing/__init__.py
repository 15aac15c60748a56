"""Writes bundles from files and records."""
