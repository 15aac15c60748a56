"""Characters that nobody sees or that reorder others, and so must be shown as marks where evidence chose the text."""

from __future__ import annotations

import unicodedata

CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # of Unicode's general categories


def is_invisible(character: str) -> bool:
    """Whether a character is a control, format, surrogate, private or unassigned one, or a separator of lines."""
    return unicodedata.category(character) in CATEGORIES


def marked(text: str) -> str:
    """`text` with each such character as its number, ⟨U+202E⟩; for places that hold no markup."""
    if text.isprintable():
        return text
    return "".join(f"⟨U+{ord(one):04X}⟩" if is_invisible(one) else one for one in text)
