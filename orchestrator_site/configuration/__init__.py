"""Environment variables, system checks, and the settings health page."""
