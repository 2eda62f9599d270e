"""
What a statement touches, and how an entry of the access log travels within it. Pure text.

A block of queries/*.sql that writes is sent together with its entry as one statement: both are there, or neither.

    INSERT INTO agents … RETURNING …
    WITH agentdb_operation AS (INSERT INTO agents … RETURNING …), agentdb_entry AS (INSERT INTO access_log …)
    SELECT * FROM agentdb_operation
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from agentdb.client.database import TABLES

__all__ = ["ENTRY_PARAMETERS", "Touched", "may_write", "named_tables", "stands_alone", "touched", "with_entry"]

ENTRY_PARAMETERS: Final = 5
"""How many parameters `with_entry` adds: entry id, agent, user, operation, milliseconds since it began."""

_KNOWN: Final = frozenset(TABLES)
_WITHOUT_ID: Final = frozenset(
    {"agent_tool_versions", "agent_metric_rollups", "agent_metric_late_hours", "model_prices"}
)
_NAMED: Final = re.compile(
    r'(?:\b(?:FROM|JOIN|UPDATE|INTO|USING|TRUNCATE)\s+(?:TABLE\s+)?(?:ONLY\s+)?|,\s*)(?:"?\w+"?\.)?"?(\w+)"?',
    re.IGNORECASE,
)
_LITERAL_OR_PARENTHESIS: Final = re.compile(r"E'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|[()]", re.DOTALL)
_HEAD: Final = re.compile(r"WITH\s+(?:RECURSIVE\s+)?")
_PART: Final = re.compile(r"\s*(\w+)\s*(\([^()]*\)\s*)?AS\s+(?:(?:NOT\s+)?MATERIALIZED\s+)?(?=\()")
_WRITE: Final = re.compile(r"\s*(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+(\w+)(?:\s+AS\s+(\w+))?")
_RETURNING: Final = re.compile(r"\bRETURNING\b\s*")
_RETURNED_ID: Final = re.compile(r"(?:^|[\s,.])id\s*(?:,|$)")
_PARAMETER: Final = re.compile(r"\$(\d+)")

# Of SQL that is not ours, which may be a script of megabytes: to read one takes a second.
_LONGEST_READ: Final = 100_000
# A word in a literal counts, which costs a transaction and no more.
_WRITING_WORDS: Final = re.compile(
    r"\b(?:INSERT|UPDATE|DELETE|MERGE|TRUNCATE|INTO|COPY|CREATE|ALTER|DROP|GRANT|REVOKE|COMMENT|CALL|DO|REFRESH|REINDEX"
    r"|CLUSTER|VACUUM|ANALYZE|IMPORT|REASSIGN)\b",
    re.IGNORECASE,
)
_ENDS_TRANSACTIONS: Final = re.compile(
    r"(?:^|;|--[^\n]*\n|\*/)\s*(?:BEGIN|START|COMMIT|END|ROLLBACK|ABORT|SAVEPOINT|RELEASE|PREPARE|VACUUM|REINDEX|CLUSTER|CALL"
    r"|(?:CREATE|DROP)\s+(?:DATABASE|TABLESPACE)|ALTER\s+SYSTEM)\b|\bCONCURRENTLY\b",
    re.IGNORECASE,
)


class Touched(NamedTuple):
    """The tables that a statement writes, and all that it names, in the order in which it names them."""

    written: tuple[str, ...]
    named: tuple[str, ...]


class _Part(NamedTuple):
    """A common table expression, or, without a name, the statement at the end."""

    name: str
    opening: str
    body: str


@lru_cache(maxsize=1024)
def touched(sql: str) -> Touched:
    """Return which of the tables a block of queries/*.sql touches."""
    writes = (_WRITE.match(part.body) for part in _parts(sql))
    return Touched(
        tuple(dict.fromkeys(match[1] for match in writes if match and match[1] in _KNOWN)), named_tables(sql)
    )


def named_tables(sql: str) -> tuple[str, ...]:
    """Return which of the tables *sql*, whatever it is, names, as far as its text tells."""
    found = (match[1].lower() for match in _NAMED.finditer(sql[:_LONGEST_READ]))
    return tuple(dict.fromkeys(name for name in found if name in _KNOWN))


def may_write(sql: str) -> bool:
    """Return whether *sql*, whatever it is, may change something; what functions do that it calls is not seen."""
    return len(sql) > _LONGEST_READ or _WRITING_WORDS.search(sql) is not None


def stands_alone(sql: str) -> bool:
    """Return whether *sql* begins or ends transactions itself, can run in none, or is too long for us to say."""
    return len(sql) > _LONGEST_READ or _ENDS_TRANSACTIONS.search(sql) is not None


@lru_cache(maxsize=1024)
def with_entry(sql: str, *, counts: bool = False, only_if_any: bool = False) -> str:
    """
    Return a block that writes, with its entry of the access log.

    Args:
        sql: The block; $1 is the organization. The entry takes `ENTRY_PARAMETERS` parameters more, after its own.
        counts: Return one row, with how many rows the block touches in the end, instead of these rows.
        only_if_any: Make no entry when no row was changed.

    Raises:
        ValueError: The block writes nothing.
    """
    parts = [_returning(part) for part in _parts(sql)]
    *before, last = parts
    last = last._replace(name="agentdb_operation", opening="agentdb_operation AS ")
    writing = [part for part in (*before, last) if _WRITE.match(part.body)]
    if not writing:
        raise ValueError("the statement writes nothing")
    recursive = "RECURSIVE " if sql.startswith("WITH RECURSIVE") else ""
    ctes = ", ".join(f"{part.opening}({part.body})" for part in (*before, last))
    first = 1 + max(int(number) for number in _PARAMETER.findall(sql))
    entry = _entry(writing, touched(sql).written, first, only_if_any=only_if_any)
    result = "count(*) AS count" if counts else "*"
    return f"WITH {recursive}{ctes}, agentdb_entry AS ({entry}) SELECT {result} FROM agentdb_operation"


def _entry(writing: Sequence[_Part], tables: Sequence[str], first: int, *, only_if_any: bool) -> str:
    id, agent, user, operation, elapsed = (f"${first + place}" for place in range(ENTRY_PARAMETERS))
    count = " + ".join(f"(SELECT count(*) FROM {part.name})" for part in writing)
    ids = " UNION ALL ".join(f"SELECT id::text FROM {part.name}" for part in writing if _returns_id(part))
    names = ", ".join(f"'{table}'" for table in tables)
    return f"""INSERT INTO access_log (organization_id, id, at, agent_id, user_name, operation, table_names, row_ids,
    row_count, duration_ms, outcome)
SELECT $1, {id}::uuid, statement_timestamp() - {elapsed}::float8 * interval '1 millisecond', {agent}::text,
    {user}::text, {operation}::text, ARRAY[{names}], {f"ARRAY({ids} LIMIT 20)" if ids else "'{}'::text[]"},
    {count}, {elapsed}::float8 + 1000 * extract(epoch FROM clock_timestamp() - statement_timestamp())::float8, 'ok'
{f"WHERE {count} > 0" if only_if_any else ""}"""


def _returning(part: _Part) -> _Part:
    """Return a part whose rows can be counted: one that writes has to return something."""
    write = _WRITE.match(part.body)
    if write is None or _RETURNING.search(part.body):
        return part
    # Of the rows at the end the ids are told; those before are counters and what hangs on them.
    has_id = not part.name and write[1] not in _WITHOUT_ID
    return part._replace(body=f"{part.body} RETURNING {f'{write[2] or write[1]}.id' if has_id else '1'}")


def _returns_id(part: _Part) -> bool:
    """Return whether the rows of a part that writes have a column that is called id."""
    returned = _RETURNING.split(part.body)[-1].strip()
    return _RETURNED_ID.search(returned) is not None or returned.endswith(".*")


def _parts(sql: str) -> list[_Part]:
    """Return the common table expressions of *sql*, then what follows them."""
    head = _HEAD.match(sql)
    if head is None:
        return [_Part("", "", sql)]
    parts = []
    position = head.end()
    while match := _PART.match(sql, position):
        end = _closing(sql, match.end())
        parts.append(_Part(match[1], match[0].strip() + " ", sql[match.end() + 1 : end]))
        position = end + 1
        if sql[position : position + 1] != ",":
            break
        position += 1
    return [*parts, _Part("", "", sql[position:].strip())]


def _closing(sql: str, opening: int) -> int:
    """Return where the parenthesis closes that opens at *opening*."""
    depth = 0
    for match in _LITERAL_OR_PARENTHESIS.finditer(sql, opening):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if not depth:
            return match.start()
    raise ValueError("a parenthesis is not closed")
