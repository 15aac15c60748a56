"""`make fuzz`: mutants of good bundles against the reader, judged by an oracle that shares no code with it."""
