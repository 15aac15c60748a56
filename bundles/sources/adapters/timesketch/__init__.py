"""The adapter `timesketch`: the events of a Timesketch sketch by its export stream; see docs/sources/timesketch.md."""
