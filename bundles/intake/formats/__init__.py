"""Kinds of files with records, recognised by what is in them, and how their records become events and alerts."""
