"""`make soak`: long runs that try to break what must hold: rules of the queue, kill points, chaos of real processes."""
