"""Jobs: the durable PostgreSQL queue, its workers, and what people may do with a job."""
