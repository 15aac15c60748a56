"""The addresses of the pages about bundles, bundle files and keys."""

from bundles.console import (
    batch_pages,
    bundle_page,
    compare_page,
    evidence_pages,
    file_pages,
    import_pages,
    key_pages,
    pages,
)
from foundation.console_page import ConsolePage

CREATE, VERIFY = "bundles.create_bundle", "bundles.verify_bundle"

PAGES = (
    ConsolePage("console/sources", pages.sources_part, "sources-part"),
    ConsolePage("console/incidents/<str:incident_id>/compare", compare_page.compare_page, "compare-bundles"),
    ConsolePage("console/bundles", pages.bundles_page, "bundles-page"),
    ConsolePage("console/bundles/new", pages.new_bundle_page, "new-bundle", needs=CREATE),
    ConsolePage("console/bundles/batch", batch_pages.batch_page, "bundles-batch", needs=VERIFY),
    ConsolePage("console/bundles.csv", pages.bundles_csv, "bundles-csv"),
    ConsolePage("console/bundles/<uuid:bundle_id>", bundle_page.bundle_page, "bundle-page"),
    ConsolePage("console/bundles/<uuid:bundle_id>/certificate", evidence_pages.certificate_page, "bundle-certificate"),
    ConsolePage("console/bundles/<uuid:bundle_id>/files/<int:place>", evidence_pages.bundle_file, "bundle-file"),
    ConsolePage(
        "console/bundles/<uuid:bundle_id>/files/<int:place>/preview", evidence_pages.preview_page, "bundle-file-preview"
    ),
    ConsolePage("console/bundles/<uuid:bundle_id>/key", evidence_pages.bundle_key, "bundle-key"),
    ConsolePage("console/verify", file_pages.verify_file_page, "verify-file"),
    ConsolePage("console/verify/file", file_pages.receive_file, "verify-file-send", needs=VERIFY),
    ConsolePage("console/verify/held", file_pages.held_part, "verify-file-held"),
    ConsolePage("console/verify/uploads", file_pages.begin_upload, "verify-file-begin", needs=VERIFY),
    ConsolePage("console/verify/upload", file_pages.upload_part, "verify-file-upload", needs=VERIFY),
    ConsolePage("console/verify/<uuid:job_id>", file_pages.verify_file_result, "verify-file-result"),
    ConsolePage("console/import", import_pages.import_page, "import-page", needs=CREATE),
    ConsolePage("console/import.csv", import_pages.imports_csv, "imports-csv", needs=CREATE),
    ConsolePage("console/import/uploads", import_pages.begin_upload, "import-begin", needs=CREATE),
    ConsolePage("console/import/upload", import_pages.upload_part, "import-upload", needs=CREATE),
    ConsolePage("console/import/<uuid:intake_id>", import_pages.preview_page, "import-preview", needs=CREATE),
    ConsolePage("console/keys", key_pages.keys_page, "keys-page"),
    ConsolePage("console/keys/<str:key_id>.pem", key_pages.public_key, "public-key"),
)
