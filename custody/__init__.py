"""Custody: the append-only, hash-chained record of who did what to which evidence."""
