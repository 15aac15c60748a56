"""Makes real worker processes die where a test wants them to."""
