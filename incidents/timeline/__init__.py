"""Filtering, reading and drawing the kill chain of an incident."""
