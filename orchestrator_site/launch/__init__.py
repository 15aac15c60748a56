"""`make run` and `make demo`: set up and run the whole system on one machine."""
