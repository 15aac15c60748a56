"""`make run` and `make demo`: everything from nothing, on one machine, and the main job walked through."""
