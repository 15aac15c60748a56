"""The environment, the system checks, and the page of settings health."""
