"""Every address of the console. Each view is wrapped by `console.page`; only the sign-in page stands outside."""

from django.urls import URLPattern, URLResolver, path

from bundles.console import batch_pages as bundle_batches
from bundles.console import evidence_pages as evidence
from bundles.console import file_pages as files
from bundles.console import key_pages
from bundles.console import pages as bundles
from bundles.console.compare_page import compare_page
from custody import pages as custody
from incidents import pages as incidents
from jobs.console import batch_pages as job_batches
from jobs.console import pages as jobs
from jobs.console import worker_pages as workers
from orchestrator_site.accounts import account_pages
from orchestrator_site.accounts.sign_in import SignInView, SignOutView
from orchestrator_site.configuration import settings_pages
from orchestrator_site.console import find, help_pages, home
from orchestrator_site.console.page_guard import page
from rehydration import pages as rehydration

CREATE = "bundles.create_bundle"
VERIFY = "bundles.verify_bundle"
RESTORE = "rehydration.restore_bundle"
DRAIN = "jobs.drain_worker"

urlpatterns: list[URLPattern | URLResolver] = [
    path("", page(home.home), name="home"),
    path("sign-in", SignInView.as_view(), name="sign-in"),
    path("sign-out", SignOutView.as_view(), name="sign-out"),
    path("console/find", page(find.find), name="find"),
    path("console/sources", page(bundles.sources_part), name="sources-part"),
    path("console/incidents", page(incidents.incidents_page), name="incidents-page"),
    path("console/incidents/<str:incident_id>", page(incidents.incident_page), name="incident-page"),
    path("console/incidents/<str:incident_id>/compare", page(compare_page), name="compare-bundles"),
    path("console/bundles", page(bundles.bundles_page), name="bundles-page"),
    path("console/bundles/new", page(bundles.new_bundle_page, needs=CREATE), name="new-bundle"),
    path("console/bundles/<uuid:bundle_id>", page(bundles.bundle_page), name="bundle-page"),
    path("console/bundles/<uuid:bundle_id>/certificate", page(evidence.certificate_page), name="bundle-certificate"),
    path("console/bundles/<uuid:bundle_id>/files/<int:place>", page(evidence.bundle_file), name="bundle-file"),
    path("console/bundles/<uuid:bundle_id>/key", page(evidence.bundle_key), name="bundle-key"),
    path("console/verify", page(files.verify_file_page), name="verify-file"),
    path("console/verify/file", page(files.receive_file, needs=VERIFY), name="verify-file-send"),
    path("console/verify/held", page(files.held_part), name="verify-file-held"),
    path("console/verify/uploads", page(files.begin_upload, needs=VERIFY), name="verify-file-begin"),
    path("console/verify/upload", page(files.upload_part, needs=VERIFY), name="verify-file-upload"),
    path("console/verify/<uuid:job_id>", page(files.verify_file_result), name="verify-file-result"),
    path("console/jobs", page(jobs.jobs_page), name="jobs-page"),
    path("console/jobs/<uuid:job_id>", page(jobs.job_page), name="job-page"),
    path("console/restore", page(rehydration.restore_page, needs=RESTORE), name="restore"),
    path("console/restore/<uuid:job_id>", page(rehydration.preview_page, needs=RESTORE), name="restore-preview"),
    path("console/custody", page(custody.custody_page), name="custody-page"),
    path("console/custody/export", page(custody.custody_export), name="custody-export"),
    path("console/keys", page(key_pages.keys_page), name="keys-page"),
    path("console/keys/<str:key_id>.pem", page(key_pages.public_key), name="public-key"),
    path("console/settings", page(settings_pages.settings_page, needs=settings_pages.VIEW), name="settings-page"),
    path("console/settings.txt", page(settings_pages.settings_text, needs=settings_pages.VIEW), name="settings-text"),
    path("console/help", page(help_pages.help_page), name="help-page"),
    path("console/help/errors", page(help_pages.errors_page), name="errors-page"),
    path("console/account", page(account_pages.account_page), name="account-page"),
    path("console/account/tokens", page(account_pages.tokens_page), name="tokens-page"),
    path("console/account/tokens/revoke", page(account_pages.revoke_token), name="revoke-token"),
    path("console/workers", page(workers.workers_page), name="workers-page"),
    path("console/workers/drain", page(workers.drain_page, needs=DRAIN), name="worker-drain"),
    path("console/incidents.csv", page(incidents.incidents_csv), name="incidents-csv"),
    path("console/bundles.csv", page(bundles.bundles_csv), name="bundles-csv"),
    path("console/jobs.csv", page(jobs.jobs_csv), name="jobs-csv"),
    path("console/custody.csv", page(custody.custody_csv), name="custody-csv"),
    path("console/workers.csv", page(workers.workers_csv), name="workers-csv"),
    path("console/bundles/batch", page(bundle_batches.batch_page, needs=VERIFY), name="bundles-batch"),
    path("console/jobs/batch", page(job_batches.batch_page), name="jobs-batch"),
]
