"""What commands print of texts that others have written."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from agentdb.cli.output import harmless


def test_what_a_terminal_obeys_is_written_as_an_escape() -> None:
    """Control characters, ends of lines that are none of ours, changes of direction; the rest stays."""
    assert harmless("\x1b[2Jred\x07") == "\\x1b[2Jred\\x07"
    assert harmless("a\rb\u2028c\x9bd\ud800") == "a\\rb\\u2028c\\x9bd\\ud800"
    assert harmless("\u202egnp.exe\u2069") == "\\u202egnp.exe\\u2069"
    for text in (
        "",
        "two\nlines\tand a tab",
        "\u6f22\u5b57\u3000\u0939\u093f\u200d",
        "caf\u00e9 \U0001f468\u200d\U0001f469",
    ):
        assert harmless(text) == text


@given(st.text())
def test_nothing_that_is_obeyed_remains(text: str) -> None:
    """Whatever the text; and doing it twice changes nothing more."""
    shown = harmless(text)

    assert not [c for c in shown if c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]
    assert harmless(shown) == shown
