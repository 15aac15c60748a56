"""What the bundles app refuses, and why: one base, a stable `code` each, a message for a person."""


class BundleError(Exception):
    """Base of the bundles app's errors; `code` is stable, the message is for a person."""

    code = "bundle_error"


class SourceNotRegisteredError(BundleError):
    """No evidence source has the name that was asked for."""

    code = "invalid_request"
