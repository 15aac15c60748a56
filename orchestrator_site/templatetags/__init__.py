"""Template tags of the console; templates load them, Python code does not."""
