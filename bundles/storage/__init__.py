"""The bundle and artifact stores: their identity, and the bundle files."""
