"""Health, metrics, the web server, and the embedded PostgreSQL."""
