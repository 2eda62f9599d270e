"""
Whether a document is about somebody, and whether a text speaks of somebody. Pure.

A document is *about* a subject when it says so at its top: under the key stands the subject, or an array that holds it.
The fragment `says` of queries/erasure.sql asks the same of PostgreSQL. A text *mentions* a name where it stands as a
word of its own: "scout-1" is not mentioned by "scout-10".
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any, Final, NamedTuple

__all__ = ["Mention", "mention_of", "says", "spaced"]

_ESCAPED_SPACES: Final = re.compile(r"\\[bfnrt]|\\u00[01][0-9a-f]")
_PUNCTUATION: Final = re.compile(r"[!-/:-@\[-`{-~]")


class Mention(NamedTuple):
    """
    What to look for.

    Attributes:
        text: The name.
        pattern: The name as a word of its own, as a regular expression of PostgreSQL.
        json_text: The name as it stands in JSON; empty if nothing shorter than the pattern can be looked for.
        json_pattern: The pattern for JSON as `spaced` has it.
        in_json: The same for Python.
    """

    text: str
    pattern: str
    json_text: str
    json_pattern: str
    in_json: re.Pattern[str]

    @property
    def parameters(self) -> tuple[str, str, str, str]:
        """The first four, which a statement takes."""
        return self[:4]

    def is_in(self, document: str) -> bool:
        """Return whether a JSON text mentions it."""
        return self.in_json.search(spaced(document)) is not None


def mention_of(name: str, *, hyphen_joins: bool) -> Mention:
    """
    Return what to look for where *name* is mentioned.

    Args:
        name: Whom or what.
        hyphen_joins: Whether a hyphen makes another word, as it does in the ids of agents.
    """
    in_json = json.dumps(name, ensure_ascii=False)[1:-1]
    words = spaced(in_json)
    hyphen = "-" if hyphen_joins else ""
    gap = f"[^[:alnum:]_{hyphen}]"
    return Mention(
        name,
        _word(name, hyphen, gap),
        in_json if _ESCAPED_SPACES.search(in_json) is None else "",
        _word(words, hyphen, gap),
        _python_word(words, hyphen),
    )


def spaced(document: str) -> str:
    """
    Return a JSON text with spaces for escaped line ends, tabs and the like: they separate words as those do.

    A backslash of the text itself becomes U+0001, which JSON never holds, for what follows it is no escape. `residue`
    has the same for PostgreSQL.
    """
    return _ESCAPED_SPACES.sub(" ", document.replace("\\\\", "\x01"))


def _word(name: str, hyphen: str, gap: str) -> str:
    """Return the regular expression of *name* as a word of its own; *gap* is what stands between two words."""
    before = f"(?:^|{gap})" if re.match(rf"[\w{hyphen}]", name[0]) else ""
    after = f"(?:$|{gap})" if re.match(rf"[\w{hyphen}]", name[-1]) else ""
    # A backslash before what is neither letter nor digit stands for just that.
    return before + _PUNCTUATION.sub(r"\\\g<0>", name) + after


def _python_word(name: str, hyphen: str) -> re.Pattern[str]:
    """Return the same for Python, the name first: so 200 kB take a tenth of a millisecond, else 20 of them."""
    joined, literal = rf"[\w{hyphen}]", re.escape(name)
    before = f"(?<!{joined}{literal})" if re.match(joined, name[0]) else ""
    after = f"(?!{joined})" if re.match(joined, name[-1]) else ""
    return re.compile(literal + before + after)


def says(document: Any, key: str, subject: str) -> bool:
    """Return whether *document*, parsed JSON, says that it is about *subject*."""
    if not isinstance(document, dict) or key not in document:
        return False
    value = document[key]
    return any(_as_text(each) == subject for each in (value if isinstance(value, list) else [value]))


def _as_text(value: Any) -> str | None:
    """Return a text, a number or a truth value as PostgreSQL writes it; None for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return json.dumps(value)
    return format(Decimal(repr(value + 0)), "f") if isinstance(value, int | float) else None  # + 0: there is no -0.0
