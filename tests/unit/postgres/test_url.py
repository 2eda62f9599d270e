"""A DATABASE_URL means what it means to Prisma; a wrong one is refused by its part, never showing the password."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from agentdb.errors import ConfigurationError
from agentdb.postgres.url import ConnectionOptions, parse_url
from tests.certificates import Authority


def test_the_parts() -> None:
    """Everything where it belongs, percent-encoding undone."""
    options = parse_url("postgresql://us%40er:p%3Ass%2F@db.example:6543/my%20db?schema=app")
    assert (options.host, options.port, options.database) == ("db.example", 6543, "my db")
    assert (options.user, options.password, options.schema) == ("us@er", "p:ss/", "app")
    assert not options.is_local


def test_the_defaults() -> None:
    """As Prisma's, where it has one."""
    options = parse_url("postgres://localhost/x")
    assert (options.port, options.ssl_mode, options.schema) == (5432, "prefer", None)
    assert (options.connection_limit, options.pool_timeout_seconds, options.connect_timeout_seconds) == (10, 10.0, 5.0)
    assert options.is_local
    assert not options.pgbouncer


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("connection_limit=3", {"connection_limit": 3}),
        ("pool_timeout=2.5", {"pool_timeout_seconds": 2.5}),
        ("pool_timeout=0", {"pool_timeout_seconds": None}),
        ("connect_timeout=0", {"connect_timeout_seconds": None}),
        ("socket_timeout=7", {"command_timeout_seconds": 7.0}),
        ("statement_cache_size=0", {"statement_cache_size": 0}),
        ("pgbouncer=true", {"pgbouncer": True}),
        ("pgbouncer=false", {"pgbouncer": False}),
        ("application_name=my%20app", {"application_name": "my app"}),
        ("sslmode=require", {"ssl_mode": "require"}),
        ("sslaccept=strict", {"ssl_strict": True}),
        ("sslaccept=accept_invalid_certs", {"ssl_strict": False}),
        ("sslrootcert=/ca.pem&sslmode=verify-full", {"ssl_root_cert": "/ca.pem", "ssl_mode": "verify-full"}),
        ("sslrootcert=system", {"ssl_strict": True, "ssl_root_cert": None}),
        ("sslcert=/c.pem&sslkey=/k.pem", {"ssl_cert": "/c.pem", "ssl_key": "/k.pem", "ssl_root_cert": None}),
        ("sslcert=/ca.pem", {"ssl_cert": None, "ssl_root_cert": "/ca.pem"}),
        (
            "options=-c%20statement_timeout%3D5s%20-csearch_path%3Da",
            {"settings": {"statement_timeout": "5s", "search_path": "a"}},
        ),
        ("options=--work-mem%3D64MB", {"settings": {"work_mem": "64MB"}}),
        ("host=/run/postgresql", {"host": "/run/postgresql", "is_socket": True, "is_local": True}),
        ("user=u&password=p&dbname=d&port=7", {"user": "u", "password": "p", "database": "d", "port": 7}),
    ],
)
def test_a_parameter(query: str, expected: dict[str, Any]) -> None:
    """Each parameter of Prisma's dialect, and libpq's where they do not collide."""
    options = parse_url(f"postgresql://h/x?{query}")
    assert {name: getattr(options, name) for name in expected} == expected


def test_a_unix_socket() -> None:
    """As Prisma spells it, and as libpq does."""
    for url in (
        "postgresql://u@localhost/x?host=/run/pg",
        "postgresql://u@/x?host=/run/pg",
        "postgresql://u@%2Frun%2Fpg/x",
    ):
        options = parse_url(url)
        assert options.is_socket
        assert options.address == "/run/pg/.s.PGSQL.5432"
        assert options.connect_arguments()["ssl"] is False


def test_an_ipv6_address() -> None:
    """In brackets."""
    options = parse_url("postgresql://u@[::1]:5433/x")
    assert (options.host, options.port, options.is_local) == ("::1", 5433, True)
    assert options.address == "[::1]:5433"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("hunter2", "must start with postgresql://"),
        ("mysql://u:hunter2@h/x", "not mysql://"),
        ("file:hunter2", "must start with postgresql://"),
        ("postgresql://u:hunter2@h:54a2/x", "port"),
        ("postgresql://u:hunter2@h:0/x", "port"),
        ("postgresql://u:hunter2@h:70000/x", "port"),
        ("postgresql://u:hunter2/x@h/x", "percent-encode"),
        ("postgresql://u:hunter2?x@h/x", "percent-encoded"),
        ("postgresql://u:hunter2#x@h/x", "%23"),
        ("postgresql://u:hunter2@x@h/x", "%40"),
        ("postgresql://u:hunter2@::1/x", "brackets"),
        ("postgresql://u:hunter2@[::1/x", "brackets"),
        ("postgresql://u:hunter2@a,b/x", "several hosts"),
        ("postgresql://u:hunter2@/x?host=a,b", "several hosts"),
        ("postgresql://u:hunter2%FF@h/x", "password is not valid"),
        ("postgresql://u%FF:hunter2@h/x", "user name is not valid"),
        ("postgresql://u:hunter2%00@h/x", "NUL"),
        ("postgresql://u:hunter2@h/x?connection_limit=0", "connection_limit must be a whole number, 1 or more"),
        ("postgresql://u:hunter2@h/x?connection_limit=ten", "connection_limit"),
        ("postgresql://u:hunter2@h/x?pool_timeout=-1", "pool_timeout"),
        ("postgresql://u:hunter2@h/x?pool_timeout=nan", "pool_timeout"),
        ("postgresql://u:hunter2@h/x?connect_timeout=inf", "connect_timeout"),
        ("postgresql://u:hunter2@h/x?pgbouncer=maybe", "pgbouncer"),
        ("postgresql://u:hunter2@h/x?sslmode=on", "sslmode must be one of disable, allow"),
        ("postgresql://u:hunter2@h/x?sslaccept=no", "sslaccept"),
        ("postgresql://u:hunter2@h/x?sslidentity=x.p12", "sslidentity .* not supported; give sslcert and sslkey"),
        ("postgresql://u:hunter2@h/x?sslpassword=hunter2", "sslpassword .* not supported"),
        ("postgresql://u:hunter2@h/x?sslkey=/k.pem", "sslkey needs sslcert"),
        ("postgresql://u:hunter2@h/x?options=jit", "options"),
    ],
)
def test_a_wrong_url(url: str, reason: str) -> None:
    """The error names the variable and the part, says what would be right, and never shows the password."""
    with pytest.raises(ConfigurationError, match=reason) as raised:
        parse_url(url, variable="MY_URL")
    assert raised.value.variable == "MY_URL"
    assert "hunter2" not in str(raised.value)
    assert raised.value.__cause__ is None or "hunter2" not in str(raised.value.__cause__)


def test_an_unknown_parameter_is_ignored(caplog: pytest.LogCaptureFixture) -> None:
    """As Prisma does; the log tells, without its value."""
    with caplog.at_level(logging.DEBUG, "agentdb.postgres"):
        parse_url("postgresql://h/x?fruit=hunter2")
    (record,) = caplog.records
    assert vars(record)["parameter"] == "fruit"
    assert "hunter2" not in str(vars(record))


def test_repr_and_masked_hide_the_password() -> None:
    """Neither shows it, nor any of the parameters."""
    options = parse_url("postgresql://u:hunter2@h/x?password=hunter3&schema=s")
    for text in (repr(options), str(options), options.masked(), f"{[options]}"):
        assert "hunter" not in text
        assert "u:***@h:5432/x" in text


@given(
    st.text(min_size=1).filter(lambda text: "\0" not in text), st.text(min_size=1).filter(lambda text: "\0" not in text)
)
def test_any_user_and_password_travel_encoded(user: str, password: str) -> None:
    """What quote() encodes comes back, and url() encodes it again."""
    try:
        url = f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@h/x"
    except UnicodeEncodeError:
        return
    options = parse_url(url)
    assert (options.user, options.password) == (user, password)
    assert parse_url(options.url()) == options


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing but a ConfigurationError comes out of a bad URL."""
    for url in (text, f"postgresql://{text}", f"postgresql://u:p@{text}/x", f"postgresql://h/x?{text}"):
        try:
            parse_url(url)
        except ConfigurationError:
            continue


def test_the_url_of_options_leads_to_the_same_place() -> None:
    """Everything that says where and how to connect survives the way through a URL."""
    for options in (
        ConnectionOptions(host="h", port=1, user="u", password="p@", database="d/x", schema="s", ssl_mode="require"),
        ConnectionOptions(host="/run/my pg", port=7, user="u", database="d"),
        ConnectionOptions(
            host="::1", user="u", database="d", ssl_cert="/c", ssl_key="/k", ssl_root_cert="/r", pgbouncer=True
        ),
        ConnectionOptions(host="h", user="u", database="d", ssl_strict=True),
    ):
        assert parse_url(options.url()) == options


def test_certificates(tmp_path: Path) -> None:
    """A mode is passed on, files go by DSN, strict makes a context that checks the host, a missing file is named."""
    assert parse_url("postgresql://h/x?sslmode=require").connect_arguments()["ssl"] == "require"
    file = Authority(tmp_path, "ca").certificate
    arguments = parse_url(f"postgresql://h/x?sslmode=verify-ca&sslrootcert={file}").connect_arguments()
    assert arguments["dsn"].startswith("postgresql://?sslmode=verify-ca&sslrootcert=")
    context = parse_url("postgresql://h/x?sslaccept=strict").connect_arguments()["ssl"]
    assert context.check_hostname
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        parse_url("postgresql://h/x?sslrootcert=/no/such").connect_arguments()


@pytest.mark.parametrize("way", ["sslmode=prefer", "sslmode=verify-full", "sslmode=require&sslaccept=strict"])
def test_a_certificate_that_is_no_good(way: str, tmp_path: Path) -> None:
    """In each mode the same error, before anything is sent; a key with a password is not asked for at the terminal."""
    authority = Authority(tmp_path, "ours")
    ours, other = authority.issue("client", []), authority.issue("other", [])
    empty, locked = tmp_path / "empty.pem", tmp_path / "locked.key"
    empty.touch()
    key = serialization.load_pem_private_key(ours.key.read_bytes(), None)
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hunter2"),
        )
    )
    for files, why in {
        f"sslrootcert={empty}": "NO_CERTIFICATE",
        f"sslrootcert={tmp_path}/none": "No such file",
        f"sslcert={ours.certificate}&sslkey={other.key}": "KEY_VALUES_MISMATCH",
        f"sslcert={ours.certificate}&sslkey={empty}": "malformed, or needs a password",
        f"sslcert={ours.certificate}&sslkey={locked}": "malformed, or needs a password",
    }.items():
        with pytest.raises(ConfigurationError, match=f"a TLS certificate or key cannot be read: .*{why}"):
            parse_url(f"postgresql://h/x?{way}&{files}").connect_arguments()


@pytest.mark.parametrize(
    ("url", "is_local"),
    [
        ("postgresql://localhost/x", True),
        ("postgresql://127.0.0.1/x", True),
        ("postgresql://127.8.8.8/x", True),
        ("postgresql://[::1]/x", True),
        ("postgresql://db.localhost/x", True),
        ("postgresql:///x?host=/run/postgresql", True),
        ("postgresql://10.0.0.1/x", False),
        ("postgresql://0.0.0.0/x", False),
        ("postgresql://db/x", False),
        ("postgresql://localhost.example/x", False),
    ],
)
def test_what_is_on_this_machine(url: str, is_local: bool) -> None:
    """Unix sockets, loopback addresses and their names; of another name nobody knows where it leads."""
    assert parse_url(url).is_local == is_local


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"])
def test_tls_can_be_required(mode: str) -> None:
    """What leaves it open is raised to require, what rules it out is refused; a socket stays as it is."""
    url = f"postgresql://u:hunter2@db/x?sslmode={mode}"
    if mode == "disable":
        with pytest.raises(ConfigurationError, match="AGENTDB_REQUIRE_TLS") as caught:
            parse_url(url, require_tls=True)
        assert "hunter2" not in str(caught.value)
    else:
        expected = "require" if mode in ("allow", "prefer") else mode
        assert parse_url(url, require_tls=True).ssl_mode == expected
    assert parse_url(url + "&host=/run/postgresql", require_tls=True).ssl_mode == mode
    assert parse_url(url).ssl_mode == mode
