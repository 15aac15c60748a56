"""`make soak`: long runs that try to break the queue: a simulation, kill points, and chaos with real processes."""
