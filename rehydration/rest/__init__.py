"""The API of restores."""
