"""The command line of the format."""
