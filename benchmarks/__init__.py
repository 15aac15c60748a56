"""Measurements, as ratios against named peers measured in the same run; never asserted in tests."""
