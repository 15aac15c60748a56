"""The documents and the tree itself."""
