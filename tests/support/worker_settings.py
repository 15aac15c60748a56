"""The product's settings plus the job types that tests give to real worker processes."""

from orchestrator_site.settings import *  # noqa: F403
from orchestrator_site.settings import INSTALLED_APPS as PRODUCT_APPS

INSTALLED_APPS = [*PRODUCT_APPS, "tests.support.jobs_app.apps.TestJobsConfig"]
