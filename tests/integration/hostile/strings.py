"""Hostile strings, the same in every run: what breaks out of texts, patterns, formats, paths, logs and terminals."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from random import Random
from typing import Final

__all__ = ["KINDS", "hostile_strings", "is_storable", "sample"]

_SEED: Final = 4711

# Spelled in ASCII, so that an editor shows what is there.
# fmt: off
_SQL: Final = (
    "'; DROP TABLE agents; --", "' OR '1'='1", '" OR ""="', "1); DELETE FROM agent_memories; --",
    "') UNION SELECT organization_id, id FROM agents --", "/* */", "/*", "*/ --", "--", "#", ";",
    "\\'; ALTER ROLE agentdb_app SUPERUSER; --", "E'\\''", "U&'\\0027'", "B'1'", "x'27'", "N''", "'||pg_sleep(60)||'",
    "COPY agents TO PROGRAM 'id'", "SET agentdb.organization_id = 'globex'",
    "set_config('agentdb.organization_id', 'globex', false)", "'; RESET ROLE; COMMIT; --", "CAST('a' AS int)",
    "::regclass", "ROW(1,2)", "ARRAY['a']", "(SELECT 1)", "NULL", "DEFAULT", "current_user",
    "\\copy agents to /tmp/x", "\\.", "\\gexec", "{1,2}", '{"a","b"}', "(,)",
)
_QUOTES: Final = (
    "'", "''", "'''", '"', '""', "`", "\xb4", "\u2018", "\u2019", "\u201a", "\u201c", "\u201d", "\u201e", "\xab",
    "\xbb", "\uff07", "\uff02", "\u02bc", "\u2032",
)
_BACKSLASHES: Final = (
    "\\", "\\\\", "\\\\\\", "\\'", '\\"', "\\n", "\\0", "\\x00", "\\u0000", "\\ud800", "\\u{0}", "\\q", "\\E",
)
_DOLLARS: Final = (
    "$", "$$", "$1", "$2", "$0", "$10000", "$tag$", "$$;DROP TABLE agents;$$", "${HOME}", "$(id)", "$-1", "?", ":x",
    "@p1", "%1",
)
_NULS: Final = (
    "\x00", "a\x00b", "\x00\x00", "'\x00",
)
_SURROGATES: Final = (
    "\ud800", "\udfff", "\udc80", "a\ud83d", "\ude00\ud83d",
)
_INVISIBLE: Final = (
    "\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\xad", "\u202e", "\u202d", "\u202a", "\u202c", "\u2066",
    "\u2067", "\u2069", "\u200e", "\u200f", "\u061c", "\u180e", "\u3164", "\ufe0f", "\U000e0041", "\u2028", "\u2029",
)
_COMBINING: Final = (
    "e\u0301", "\u0301", "o" + "\u0335\u0321\u0362" * 9, "\u0344", "\u1100\u1161\u11a8", "\u0f71\u0f72",
    "\U0001f3f3\ufe0f\u200d\U0001f308", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea",
    "\U0001f44d\U0001f3ff",
)
_JSON: Final = (
    "{", "}", "[", "]", '"', '{"$gt": ""}', '{"$where": "1"}', '"}', "null", "true", "NaN", "Infinity", "1e999",
    '{"__proto__": {}}', '"\\u0000"', "{}", "[]", '{"a":1,"a":2}', ",", ":", "//", "[[[[[[[[[[", '"' * 3,
)
_JSONPATH: Final = (
    "$", "$.*", "$.**", "@", "@.key", "$[*] ? (@ == 1)", '" || 1 == 1 || "', '") || exists($', "strict $", "lax $.a",
    "$.a[last]", ".type()", "? (@ like_regex", ' flag "q"', '$."a"', "@? '$'", "&& 1 == 0", "!exists(@)",
    ".keyvalue()",
)
_PATTERNS: Final = (
    "%", "_", "%%", "\\%", "[", "[a", "(", ")", "(a+)+$", ".*", "*", "+", "?", "^", "$", "|", "{1,}", "(?i)", "\\1",
    "[[:alpha:]]", "[^", "a{99999}", "(?=a)", "\\m", "&", "&&", "!", "!!", "<->", "<2>", ":*", "a & b", "'a' | 'b'",
    "a:ABCD", "(((",
)
_FORMATS: Final = (
    "%s", "%d", "%n", "%(x)s", "%%", "%s%s%s%s%s", "%999999d", "{}", "{0}", "{x}", "{0.__class__}", "{{}}", "{{7*7}}",
    "{!r}", "{:>99999}", "${jndi:ldap://x/a}", "#{7*7}", "<%= 7*7 %>", "<script>alert(1)</script>", "&amp;", "{%x%}",
    "[red]x[/red]", "[/]",
)
_PATHS: Final = (
    "../../../../etc/passwd", "..\\..\\x", "/etc/passwd", "C:\\x", "file:///etc/passwd", "\\\\host\\share", "~",
    "~/x", "./.", "..", ".", "%2e%2e%2f", "%00", "/dev/null", "-rf", "--help", "-", "@file", "a/b", "|id", "`id`",
    "CON", "a.", ":memory:",
)
_LOGS: Final = (
    "\n", "\r", "\r\n", "\n2025-01-01 ERROR root: forged", "\r\nSet-Cookie: a", "\x1b[2J", "\x1b[31m",
    "\x1b]0;title\x07", "\x1b]8;;http://x\x07", "\x07", "\x08\x08", "\x85", "\x0b\x0c", "\x9b31m", "\u2028forged",
    "\x1bc",
)
_CONTROLS: Final = tuple(chr(code) for code in (*range(1, 32), 127, *range(128, 160)))
_NUMBERS: Final = (
    "0", "-0", "1e400", "-1", "9223372036854775808", "9" * 400, "0x41", "1_000", "1e-9999", ".5", "5.", "+1",
    "\u0663\u0664", "\xbd", "1,5", "NaN", "-Infinity", "\uff12", "0" * 99, "1e5", "true", "infinity", "epoch", "now",
    "today", "allballs", "'now'::timestamp",
)
_FORMS: Final = (
    "\xc5", "A\u030a", "\u212b", "\ufb01", "fi", "\u0130", "i\u0307", "\u1e9e", "\xdf", "SS", "\uff21", "A", "a",
    "\u0410", "\u0391", "\u212a", "K", "\u01c5", "\ua7ae", "\ufffe", "\uffff", "\ufdd0", "\U0010ffff", "\ue000",
    "\U0001f600", "\ufffd", "\U00020000", "\u1e0b\u0323", "\u0958", "\u2126", "\u03c9",
)
_BLANKS: Final = (
    "", " ", "  ", "\t", "\xa0", "\u2003", "\u3000", "\u1680", "\u2800", " x", "x ", "\nx", "x\n", "\u3000x",
)
_WORDS: Final = (
    "null", "NULL", "None", "undefined", "organization_id", "organizationId", "public", "agentdb_app", "postgres",
    "select", "user", "agents", "__class__", "__proto__", "constructor", "id", "true", "on", "general", "unnamed",
    "and", "AND ", "OR", "NOT", "equals", "default", "*", "admin", "local", "acme", "globex",
)
# fmt: on

KINDS: Final[Mapping[str, Sequence[str]]] = {
    "sql": _SQL,
    "quotes": _QUOTES,
    "backslashes": _BACKSLASHES,
    "dollars": _DOLLARS,
    "nuls": _NULS,
    "surrogates": _SURROGATES,
    "invisible": _INVISIBLE,
    "combining": _COMBINING,
    "json": _JSON,
    "jsonpath": _JSONPATH,
    "patterns": _PATTERNS,
    "formats": _FORMATS,
    "paths": _PATHS,
    "logs": _LOGS,
    "controls": _CONTROLS,
    "numbers": _NUMBERS,
    "forms": _FORMS,
    "blanks": _BLANKS,
    "words": _WORDS,
}
"""Fragments by what they are meant to break."""

_LENGTHS: Final = (99, 100, 101, 254, 255, 256, 257, 999, 1000, 1001, 2_700, 10_001, 20_001)
_HUGE: Final = (100_001, 1_000_001)


@cache
def hostile_strings(count: int = 10_000) -> tuple[str, ...]:
    """
    Return *count* different hostile strings; of each kind about as many, in a random order that is always the same.

    First every fragment alone, then fragments of one kind or of several put together, some around words, some at the
    lengths where fields end, a few of a million characters.
    """
    chance = Random(_SEED)
    found = dict.fromkeys(fragment for fragments in KINDS.values() for fragment in fragments)
    found |= dict.fromkeys("x" * length for length in _HUGE)
    makers: tuple[Callable[[Random], str], ...] = (_of_one_kind, _of_one_kind, _of_several, _around_words, _long)
    while len(found) < count:
        found[makers[len(found) % len(makers)](chance)] = None
    texts = list(found)[:count]
    chance.shuffle(texts)
    return tuple(texts)


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can hold *text*: no NUL byte, no lone surrogate."""
    return "\x00" not in text and not any(unicodedata.category(character) == "Cs" for character in text)


@cache
def sample(count: int) -> tuple[str, ...]:
    """Return *count* of the hostile strings: fragments of every kind in turn, for what takes long."""
    chance = Random(_SEED)
    shuffled = [chance.sample(fragments, len(fragments)) for fragments in KINDS.values()]
    found: dict[str, None] = {}
    turn = 0
    while len(found) < count:
        fragments = shuffled[turn % len(shuffled)]
        found[fragments[turn // len(shuffled) % len(fragments)] if turn < 200 else _of_several(chance)] = None
        turn += 1
    return tuple(found)


def _of_one_kind(chance: Random) -> str:
    return "".join(chance.choices(KINDS[_kind(chance)], k=chance.randint(1, 4)))


def _of_several(chance: Random) -> str:
    return "".join(chance.choice(KINDS[_kind(chance)]) for _ in range(chance.randint(2, 5)))


def _kind(chance: Random) -> str:
    """Return a kind; seldom one that PostgreSQL cannot store, for whatever else stands in such a text is lost."""
    return chance.choices(list(KINDS), [0.2 if kind in ("nuls", "surrogates") else 1 for kind in KINDS])[0]


def _around_words(chance: Random) -> str:
    return chance.choice(("{0}word", "word{0}", "wo{0}rd", "{0}{0}", "two {0} words")).replace(
        "{0}", _of_several(chance)
    )


def _long(chance: Random) -> str:
    """Return three of ten times a text as long as a field, or a character more or less; else a short one."""
    text = _of_several(chance) or "x"
    if chance.random() < 0.7:
        return text
    length = chance.choice(_LENGTHS)
    return (text * (length // len(text) + 1))[:length]
