"""`make soak`: long runs that try to break what must hold."""
