"""Shared by several tests: deployments, rows, scenes, servers."""
