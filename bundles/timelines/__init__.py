"""Timelines for display: the time, phase and severity of each event, in a database table."""
