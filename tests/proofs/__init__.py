"""Samples of the long runs: fuzzing, simulation, kill points, chaos."""
