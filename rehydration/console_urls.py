"""The addresses of the pages about restores."""

from foundation.console_page import ConsolePage
from rehydration import pages

RESTORE = "rehydration.restore_bundle"

PAGES = (
    ConsolePage("console/restore", pages.restore_page, "restore", needs=RESTORE),
    ConsolePage("console/restore/<uuid:job_id>", pages.preview_page, "restore-preview", needs=RESTORE),
)
