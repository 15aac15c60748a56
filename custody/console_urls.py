"""The addresses of the pages about custody."""

from custody import pages
from foundation.console_page import ConsolePage

PAGES = (
    ConsolePage("console/custody", pages.custody_page, "custody-page"),
    ConsolePage("console/custody/export", pages.custody_export, "custody-export"),
    ConsolePage("console/custody.csv", pages.custody_csv, "custody-csv"),
)
