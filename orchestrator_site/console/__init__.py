"""Home, search and help, and what guards every page."""
