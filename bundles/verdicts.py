"""What is known of a bundle, as lists filter by it: each verdict with the rows it means."""

from django.db.models import Q

VERDICTS = {
    "verified": Q(verified_ok=True, complete=True, state="ready"),
    "unverified": Q(verified_ok=None, state="ready"),
    "failed": Q(verified_ok=False) | Q(state="lost"),
    "partial": Q(complete=False),
}
VERDICT_WORDS = (
    ("", "Any"),
    ("verified", "Verified"),
    ("unverified", "Not yet verified"),
    ("failed", "Not verified, or file lost"),
    ("partial", "Partial"),
)
