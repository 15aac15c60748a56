"""The API of bundles."""
