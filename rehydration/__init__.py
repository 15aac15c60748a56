"""Rehydration: putting a bundle's incident back into the database and the artifact store."""
