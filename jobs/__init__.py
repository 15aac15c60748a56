"""Jobs: the durable PostgreSQL queue, its worker, and what people may do with a job."""
