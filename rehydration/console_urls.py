"""The addresses of the pages about restores."""

from foundation.console_page import ConsolePage
from rehydration import pages, request_pages

RESTORE = "rehydration.restore_bundle"

PAGES = (
    ConsolePage("console/restore", pages.restore_page, "restore"),
    ConsolePage("console/restore/ask", request_pages.ask, "restore-ask", needs="rehydration.ask_for_restore"),
    ConsolePage("console/restore/requests/<uuid:request_id>", request_pages.request_page, "restore-request"),
    ConsolePage("console/restore/<uuid:job_id>", pages.preview_page, "restore-preview", needs=RESTORE),
)
