"""Makes real worker processes die at moments that a test chooses."""
