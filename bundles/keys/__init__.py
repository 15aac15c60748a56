"""The signing key, its retirement, and the trusted keys."""
