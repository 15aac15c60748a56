"""Adapters, a package or module for each kind of system that evidence is read from."""
