"""Samples of the long proofs: fuzzing, simulation, kill points, chaos."""
