"""Home, search and help pages, and the guard of every page."""
