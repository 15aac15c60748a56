"""What several tests use: deployments, rows, scenes, servers."""
