"""The signing key, the trusted keys, and when the signing key retires."""
