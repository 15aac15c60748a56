"""Uploaded bundle files: quarantine, resumable uploads, and their verification."""
