"""The product's settings, for a worker that dies at moments that a test chooses."""

from orchestrator_site.settings import *  # noqa: F403
from orchestrator_site.settings import INSTALLED_APPS as PRODUCT_APPS

INSTALLED_APPS = [*PRODUCT_APPS, "tests.support.dying_app.apps.DyingConfig"]
