"""From untrusted bytes to verified content."""
