"""Restores."""
