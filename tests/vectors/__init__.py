"""Good and bad bundles with their verdicts, for other implementations of the format; see docs/bundle-format.md."""
