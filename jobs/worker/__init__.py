"""One worker process and its supervisor: attempts, heartbeats, liveness, progress, periodic tasks, shutdown."""
