"""The addresses of the pages about incidents."""

from foundation.console_page import ConsolePage
from incidents import pages, record_pages, source_pages
from incidents.search.elsewhere_page import elsewhere_page

PAGES = (
    ConsolePage("console/incidents", pages.incidents_page, "incidents-page"),
    ConsolePage(
        "console/sources/incidents", source_pages.listed_page, "incidents-from-sources", needs="bundles.create_bundle"
    ),
    ConsolePage("console/incidents/<str:incident_id>", pages.incident_page, "incident-page"),
    ConsolePage(
        "console/incidents/<str:incident_id>/records/<str:kind>/<int:position>",
        record_pages.record_page,
        "incident-record",
    ),
    ConsolePage("console/incidents/<str:incident_id>/views", pages.views_page, "incident-views"),
    ConsolePage("console/incidents/<str:incident_id>/attack-layer.json", record_pages.attack_layer, "attack-layer"),
    ConsolePage("console/incidents/<str:incident_id>/elsewhere", elsewhere_page, "incident-elsewhere"),
    ConsolePage("console/incidents.csv", pages.incidents_csv, "incidents-csv"),
)
