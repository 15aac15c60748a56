"""Every address of the console. Each view is wrapped by `console.page`; only the sign-in page stands outside."""

from django.urls import URLPattern, URLResolver, path

from bundles import batch_pages as bundle_batches
from bundles import pages as bundles
from custody import pages as custody
from jobs import batch_pages as job_batches
from jobs import pages as jobs
from jobs import worker_pages as workers
from orchestrator_site import home
from orchestrator_site.console import page
from orchestrator_site.sign_in import SignInView, SignOutView
from rehydration import pages as rehydration

CREATE = "bundles.create_bundle"
RESTORE = "rehydration.restore_bundle"
VERIFY = "bundles.verify_bundle"
DRAIN = "jobs.drain_worker"

urlpatterns: list[URLPattern | URLResolver] = [
    path("", page(home.home), name="home"),
    path("sign-in", SignInView.as_view(), name="sign-in"),
    path("sign-out", SignOutView.as_view(), name="sign-out"),
    path("console/find", page(home.find), name="find"),
    path("console/sources", page(bundles.sources_part), name="sources-part"),
    path("console/incidents", page(rehydration.incidents_page), name="incidents-page"),
    path("console/incidents/<str:incident_id>", page(rehydration.incident_page), name="incident-page"),
    path("console/bundles", page(bundles.bundles_page), name="bundles-page"),
    path("console/bundles/new", page(bundles.new_bundle_page, needs=CREATE), name="new-bundle"),
    path("console/bundles/<uuid:bundle_id>", page(bundles.bundle_page), name="bundle-page"),
    path("console/jobs", page(jobs.jobs_page), name="jobs-page"),
    path("console/jobs/<uuid:job_id>", page(jobs.job_page), name="job-page"),
    path("console/restore", page(rehydration.restore_page, needs=RESTORE), name="restore"),
    path("console/restore/<uuid:job_id>", page(rehydration.preview_page, needs=RESTORE), name="restore-preview"),
    path("console/custody", page(custody.custody_page), name="custody-page"),
    path("console/custody/export", page(custody.custody_export), name="custody-export"),
    path("console/workers", page(workers.workers_page), name="workers-page"),
    path("console/workers/drain", page(workers.drain_page, needs=DRAIN), name="worker-drain"),
    path("console/incidents.csv", page(rehydration.incidents_csv), name="incidents-csv"),
    path("console/bundles.csv", page(bundles.bundles_csv), name="bundles-csv"),
    path("console/jobs.csv", page(jobs.jobs_csv), name="jobs-csv"),
    path("console/custody.csv", page(custody.custody_csv), name="custody-csv"),
    path("console/workers.csv", page(workers.workers_csv), name="workers-csv"),
    path("console/bundles/batch", page(bundle_batches.batch_page, needs=VERIFY), name="bundles-batch"),
    path("console/jobs/batch", page(job_batches.batch_page), name="jobs-batch"),
]
