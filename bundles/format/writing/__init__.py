"""From files and records to a bundle."""
