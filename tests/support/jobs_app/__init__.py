"""Job types for tests of real worker processes."""
