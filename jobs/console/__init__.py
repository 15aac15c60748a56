"""The pages about jobs and workers."""
