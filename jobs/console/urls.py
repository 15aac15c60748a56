"""The URLs of the pages about jobs and workers."""

from foundation.console_page import ConsolePage
from jobs.console import batch_pages, pages, seen, worker_pages

PAGES = (
    ConsolePage("console/jobs", pages.jobs_page, "jobs-page"),
    ConsolePage("console/jobs/<uuid:job_id>", pages.job_page, "job-page", is_unchanged=seen.is_unchanged),
    ConsolePage("console/jobs/batch", batch_pages.batch_page, "jobs-batch"),
    ConsolePage("console/jobs.csv", pages.jobs_csv, "jobs-csv"),
    ConsolePage("console/workers", worker_pages.workers_page, "workers-page"),
    ConsolePage("console/workers/drain", worker_pages.drain_page, "worker-drain", needs="jobs.drain_worker"),
    ConsolePage("console/workers.csv", worker_pages.workers_csv, "workers-csv"),
)
