"""Readers of archives that may be hostile: nothing is unpacked to a name that the archive chose."""
