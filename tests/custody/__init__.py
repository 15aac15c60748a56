"""The custody chain."""
