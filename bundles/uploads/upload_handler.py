"""Django's handler for files in forms: stores them in quarantine below OUTPUT_DIR, not in /tmp.

An upload can be larger than /tmp, which is often in memory, and evidence belongs on the disk meant for it. The file is
temporary (`.part`): `quarantine.receive` copies it, and it is removed when the request ends.
"""

from __future__ import annotations

import tempfile
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler

from bundles.storage import bundle_files


class QuarantineUploadHandler(FileUploadHandler):
    """Django's upload handler for this deployment; see FILE_UPLOAD_HANDLERS."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """Create the temporary file."""
        super().new_file(*args, **kwargs)
        part = tempfile.NamedTemporaryFile(suffix=".part", dir=bundle_files.quarantine())  # noqa: SIM115 # the request's end
        self.file = UploadedFile(part, self.file_name, self.content_type, 0, self.charset, self.content_type_extra)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:  # noqa: ARG002 # Django gives it
        """Write the next bytes."""
        self.file.write(raw_data)

    def file_complete(self, file_size: int) -> UploadedFile[Any]:
        """Return the complete file."""
        self.file.seek(0)
        self.file.size = file_size
        return self.file

    def upload_interrupted(self) -> None:
        """Remove an incomplete file."""
        if hasattr(self, "file"):
            self.file.close()
