"""Bundle files that come in: quarantine, resumable uploads, and their verification."""
