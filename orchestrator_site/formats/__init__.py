"""Formats of dates and times, by language, as Django finds them."""
