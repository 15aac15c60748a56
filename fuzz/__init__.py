"""`make fuzz`: gives the reader mutants of good bundles, and compares it with an oracle that shares no code with it."""
