"""The part that needs Django: which pages there are on the filled database, and what each asks of it.

Every address of `console_urls` is taken: a new page is measured without a line here unless its address has arguments.
"""

from __future__ import annotations

import json
import os
import re
import sys
from typing import Any
from urllib.parse import urlencode

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.queue_settings"
django.setup()

from django.contrib.auth.models import User  # noqa: E402 # Django must be set up before
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext, setup_test_environment  # noqa: E402
from django.urls import URLPattern, reverse  # noqa: E402

from benchmarks.pages_rows import LARGEST  # noqa: E402
from bundles.models import Bundle, KeptTimeline  # noqa: E402
from bundles.timelines import facts  # noqa: E402
from jobs.models import Job  # noqa: E402
from orchestrator_site.console import urls  # noqa: E402

# What is no page of its own, takes no GET, leads elsewhere, or measures a source and not the server.
LEFT_OUT = {
    "sign-in", "sign-out", "find", "custody-export", "sources-part", "worker-drain", "revoke-token", "public-key",
    "jobs-batch", "bundles-batch", "bundle-file", "bundle-key", "settings-text",
    "verify-file-send", "verify-file-held", "verify-file-begin", "verify-file-upload", "verify-file-result",
    "attack-layer", "incident-record", "incident-views", "restore-ask",
    "jobs-csv", "bundles-csv", "incidents-csv", "custody-csv", "workers-csv",
}  # fmt: skip
SQL_CHARS = 400


def addresses() -> dict[str, str]:
    """Name → path of every page that is measured."""
    bundle, job = Bundle.objects.order_by("-created_at")[0], Job.objects.filter(status="failed").latest("created_at")
    preview = Job.objects.filter(payload__dry_run=True, job_type="rehydrate").latest("created_at")
    arguments: dict[str, list[object]] = {
        "incident_id": [LARGEST],
        "bundle_id": [bundle.pk],
        "job_id": [job.pk],
        "restore-preview": [preview.pk],
    }
    found = {}
    for pattern in urls.urlpatterns:
        if not isinstance(pattern, URLPattern):
            continue
        name, wanted = str(pattern.name), re.findall(r"<\w+:(\w+)>", str(pattern.pattern))
        if name in LEFT_OUT or not all(each in arguments for each in wanted):
            continue
        found[name] = reverse(name, args=arguments.get(name) or [arguments[each][0] for each in wanted])
    jobs, custody, incidents = reverse("jobs-page"), reverse("custody-page"), reverse("incidents-page")
    largest = f"{reverse('incident-page', args=[LARGEST])}?origin=restored"
    middle = _cursor(reverse("jobs-page"))
    return found | {
        "jobs: failed": f"{jobs}?status=failed",
        "jobs: of one incident": f"{jobs}?incident_id={LARGEST}",
        "jobs: stuck": f"{jobs}?status=stuck",
        "jobs: second page": f"{jobs}?{middle}",
        "jobs: preview of a batch": f"{reverse('jobs-batch')}?action=retry&scope=matching&status=failed",
        "bundles: preview of a batch": f"{reverse('bundles-batch')}?scope=matching",
        "incident: 3,700 events": f"{reverse('incident-page', args=['incident-1'])}?origin=restored",
        "incident: many events": f"{largest}",
        "incident: one day of many": f"{largest}&from=2026-01-15&to=2026-01-15",
        "incident: one phase of many": f"{largest}&phase=execution",
        "incident: a text in many": f"{largest}&text=host-39",
        "incident: a host of many": f"{largest}&host=host-39",
        "incidents: search": f"{incidents}?search=4999",
        "custody: of one incident": f"{custody}?incident={LARGEST}",
        "custody: nobody": f"{custody}?actor=nobody",
        "bundle: find a file": f"{found['bundle-page']}?find=9999",
        "find: digest": f"{reverse('find')}?{urlencode({'q': bundle.sha256})}",
        "find: a name in many bundles": f"{reverse('find')}?q=system-9",
    }


def _client() -> Client:
    client = Client()
    client.force_login(User.objects.get(username="bench"))
    return client


def _cursor(path: str) -> str:
    text = _client().get(path).content.decode()
    found = re.search(r'href="\?([^"]*cursor=[^"]+)"', text)
    return found[1].replace("&amp;", "&") if found else ""


def main() -> None:
    """Print each page's path, queries, and the slowest of them."""
    setup_test_environment()
    for kept in KeptTimeline.objects.filter(facts={}):
        facts.keep(kept.pk)
    client, report = _client(), {}
    for name, path in addresses().items():
        client.get(path)
        with CaptureQueriesContext(connection) as asked:
            status = client.get(path).status_code
        slowest: dict[str, Any] = max(asked.captured_queries, key=lambda query: float(query["time"]), default={})
        report[name] = {
            "path": path,
            "status": status,
            "queries": len(asked),
            "slowest_ms": 1000 * float(slowest.get("time", 0)),
            "slowest_sql": str(slowest.get("sql", ""))[:SQL_CHARS],
        }
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
