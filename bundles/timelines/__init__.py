"""Timelines as they are looked at: each event's place in time, its phase and severity, in a table that can be asked."""
