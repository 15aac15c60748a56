"""Single files of bundles: their index, the search for them, and serving one."""
