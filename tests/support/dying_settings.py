"""The product's settings, in a worker that dies where a test wants it to."""

from orchestrator_site.settings import *  # noqa: F403
from orchestrator_site.settings import INSTALLED_APPS as PRODUCT_APPS

INSTALLED_APPS = [*PRODUCT_APPS, "tests.support.dying_app.apps.DyingConfig"]
