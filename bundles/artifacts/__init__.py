"""Single files of bundles: index, search, download."""
