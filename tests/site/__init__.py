"""Settings, checks, health, metrics, launch."""
