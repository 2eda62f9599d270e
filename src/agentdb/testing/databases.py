"""Databases for single tests: cloned from a migrated one, which the first test that asks for one makes."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from agentdb.testing.aside import Aside, run_aside

if TYPE_CHECKING:
    from agentdb.postgres.url import ConnectionOptions

__all__ = ["Databases", "OwnDatabase"]

_PREFIX: Final = "agentdb_test_"
_NOT_ALLOWED: Final = "42501"
_ROLE: Final = (
    "SELECT rolname::text AS name, rolcreatedb OR rolsuper AS may_create FROM pg_roles WHERE rolname = current_user"
)
_OURS: Final = f"""
SELECT datname::text AS name FROM pg_database
WHERE datname ~ '^{_PREFIX}[0-9a-f]{{12}}_([0-9]+|template)$' AND pg_has_role(datdba, 'USAGE')
"""
_HOLD: Final = "SELECT pg_advisory_lock(hashtextextended($1, 0))"
# A lock is its database's own, and another run may have been given another database of the server.
_IS_HELD: Final = """
SELECT EXISTS (
    SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1
    AND (classid::bigint << 32) | objid::bigint = hashtextextended($1, 0)
) AS held
"""


@dataclass(frozen=True)
class OwnDatabase:
    """A migrated, empty database that one test has for itself."""

    name: str
    """What it is called on its server."""
    # A URL may hold a password, so repr leaves them out.
    url: str = field(repr=False)
    """For applications: the role that row-level security binds, as in `agentdb_url`."""
    admin_url: str = field(repr=False)
    """For migrations: the role that owns the tables."""


class Databases:
    """
    Makes databases on one server, and drops them.

    Each run's databases have names of their own, and the run holds a lock on that name: what a run has left that was
    killed is dropped by the next one.

    Args:
        url: As which role, and where, applications connect; the database that it names is left alone.
        admin_url: The same of a role that may create databases.
        owner: The role that owns the tables; None: the one of *admin_url*.

    Raises:
        PermissionError: The role of *admin_url* may not create databases, or their extension. Raised by `database`.
    """

    def __init__(self, url: str, admin_url: str, owner: str | None = None) -> None:
        from agentdb.postgres.url import parse_url

        # A schema that the URLs name is one of their database; a clone's tables are in public.
        self._application = replace(parse_url(url), schema=None)
        self._administrator = replace(parse_url(admin_url), schema=None)
        self._owner = replace(self._administrator, user=owner) if owner else self._administrator
        self._owned = f'OWNER "{owner}"' if owner else ""
        self._admin = Aside(admin_url)
        self._run = f"{_PREFIX}{uuid.uuid4().hex[:12]}"
        self._template: str | None = None
        self._count = 0

    @contextlib.contextmanager
    def database(self) -> Iterator[OwnDatabase]:
        """Give a new database; it is dropped afterwards, whoever is connected to it."""
        if self._template is None:
            self._template = self._make_template()
        self._count += 1
        name = f"{self._run}_{self._count}"
        self._create(name, template=self._template)
        try:
            yield OwnDatabase(name, _url(self._application, name), _url(self._owner, name))
        finally:
            self._drop(name)

    def close(self) -> None:
        """Drop the template, and leave."""
        if self._template is not None:
            self._drop(self._template)
        self._admin.close()

    def _make_template(self) -> str:
        (role,) = self._admin.fetch(_ROLE)
        if not role["may_create"]:
            raise PermissionError(
                f"agentdb_database needs a role that may create databases, and {role['name']!r} may not. Name one by "
                "--agentdb-admin-url, or leave --agentdb-url out: the embedded server has one."
            )
        self._admin.fetch(_HOLD, self._run)
        self._drop_leftovers()
        template = f"{self._run}_template"
        self._create(template, template="template1")
        try:
            self._migrate(template)
        except BaseException:
            self._drop(template)
            raise
        return template

    def _migrate(self, template: str) -> None:
        from agentdb.errors import DatabaseError
        from agentdb.postgres import migrate

        extending = Aside(_url(self._administrator, template))
        try:
            extending.run("CREATE EXTENSION IF NOT EXISTS vector")
        except DatabaseError as error:
            if error.sqlstate != _NOT_ALLOWED:
                raise
            raise PermissionError(
                "agentdb_database needs the extension vector, which only an administrator makes: once, by CREATE "
                "EXTENSION vector in the database template1. Or name one by --agentdb-admin-url."
            ) from error
        finally:
            extending.close()
        run_aside(migrate.deploy(_url(self._owner, template)))

    def _drop_leftovers(self) -> None:
        names = [row["name"] for row in self._admin.fetch(_OURS)]
        for run in sorted({name[: len(self._run)] for name in names}):
            (lock,) = self._admin.fetch(_IS_HELD, run)
            if not lock["held"]:  # whoever made them is gone
                for name in (name for name in names if name.startswith(run)):
                    self._drop(name)

    def _create(self, name: str, *, template: str) -> None:
        self._admin.run(f'CREATE DATABASE "{name}" TEMPLATE "{template}" {self._owned}')

    def _drop(self, name: str) -> None:
        self._admin.run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _url(options: ConnectionOptions, database: str) -> str:
    return replace(options, database=database).url()
