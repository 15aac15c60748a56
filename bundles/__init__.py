"""Bundles: build, store, serve and verify them; the sources they are built from; the format itself."""
