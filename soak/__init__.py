"""Long runs against what must never happen: the queue's rules under a seeded driver, and whatever joins them here."""
