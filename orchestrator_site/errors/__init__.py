"""The error codes, and how they reach API, pages and help."""
