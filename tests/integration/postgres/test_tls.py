"""
TLS to a real server with certificates of an authority of our own: which mode refuses what, in which words.

The embedded server is built without TLS. So what the modes mean is tried against a PostgreSQL of Debian; what the
client and the commands make of it, on the migrated database of the embedded server behind a gate that ends TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agentdb import PrismaAgentClient
from agentdb.cli.doctor.examination import examine
from agentdb.config import Settings
from agentdb.errors import ConfigurationError, ConnectionFailedError
from agentdb.postgres.account import server_account
from agentdb.postgres.embedded import EmbeddedServer
from agentdb.postgres.pool import Pool
from agentdb.postgres.url import parse_url
from tests.certificates import Authority, Identity
from tests.conftest import Database
from tests.debian import find_postgres
from tests.gate import Gate

HOST = "db.example"  # resolves to this machine here, which nobody can know from its name

OFFERED = ("good", "wrong-host", "expired", "self-signed", "unknown")
NOT_TRUSTED = "not trusted here. Name the authority's own certificate as sslrootcert=FILE"
WORDS = {
    "wrong-host": f"is not for '{HOST}'. Connect by a name that it holds",
    "expired": "has expired. Renew it on the server",
    "self-signed": "signed by itself alone. If it is yours, name it as sslrootcert=FILE",
    "unknown": NOT_TRUSTED,
}

CHECKED = ("expired", "self-signed", "unknown")
REFUSED = {
    "": (),
    "sslmode=allow": (),
    "sslmode=prefer": (),
    "sslmode=prefer&sslrootcert={ca}": (),
    "sslmode=require": (),
    "sslmode=require&sslaccept=accept_invalid_certs": (),
    "sslmode=require&sslrootcert={ca}": CHECKED,
    "sslmode=require&sslcert={ca}": CHECKED,
    "sslmode=verify-ca&sslrootcert={ca}": CHECKED,
    "sslmode=verify-full&sslrootcert={ca}": (*CHECKED, "wrong-host"),
    "sslmode=require&sslaccept=strict&sslcert={ca}": (*CHECKED, "wrong-host"),
    "sslaccept=strict&sslrootcert={ca}": (*CHECKED, "wrong-host"),
    "sslmode=verify-full&sslrootcert=system": OFFERED,
}

AUTHENTICATION = """
hostssl all encrypted all trust
hostssl all certified all cert
host all anybody all trust
local all all trust
"""


@dataclass
class Certificates:
    """What servers and clients show each other."""

    ours: Authority
    offered: dict[str, Identity]
    client: Identity
    foreign_client: Identity


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """All of them, made once."""
    directory = tmp_path_factory.mktemp("certificates")
    ours, theirs = Authority(directory, "ours"), Authority(directory, "theirs")
    return Certificates(
        ours,
        {
            "good": ours.issue("good", [HOST, "localhost", "127.0.0.1"]),
            "wrong-host": ours.issue("wrong-host", ["other.example"]),
            "expired": ours.issue("expired", [HOST], has_expired=True),
            "self-signed": ours.issue("self-signed", [HOST], by_itself=True),
            "unknown": theirs.issue("unknown", [HOST]),
        },
        ours.issue("certified", []),
        theirs.issue("foreign", []),
    )


class Server:
    """A PostgreSQL that speaks TLS, with whatever certificate it is told to show."""

    def __init__(self, directory: Path, postgres: Path, environment: dict[str, str], authority: Path) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.port = _free_port()
        self.account = server_account(self.data)
        self._run = {"env": environment, **(self.account.run_arguments() if self.account else {})}
        if self.account:
            self.account.own(directory)
            self.account.let_in(directory / "x")
        quiet: dict[str, Any] = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        initdb = [str(postgres.with_name("initdb")), "-D", str(self.data), "-U", "postgres", "-A", "trust", "-N"]
        subprocess.run(initdb, **quiet, **self._run)
        shutil.copy(authority, self.data / "root.crt")
        (self.data / "pg_hba.conf").write_text(AUTHENTICATION)
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": directory,
            "fsync": "off",
            "ssl_ca_file": "root.crt",
        }
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        self._own_all()
        with (directory / "log").open("w") as log:
            self.process = subprocess.Popen([str(postgres), "-D", str(self.data)], stderr=log, **self._run)

    def show(self, identity: Identity | None) -> None:
        """Let it speak TLS with this certificate, or not at all."""
        if identity is not None:
            shutil.copy(identity.certificate, self.data / "server.crt")
            shutil.copy(identity.key, self.data / "server.key")
        setting = f"ssl = {'off' if identity is None else 'on'}\n"
        (self.data / "postgresql.auto.conf").write_text(setting)
        self._own_all()
        self.process.send_signal(signal.SIGHUP)

    def url(self, role: str, query: str) -> str:
        """Return the URL for *role*."""
        return f"postgresql://{role}@{HOST}:{self.port}/postgres?{query}"

    @property
    def administrator(self) -> str:
        """The administrator's URL, over the unix socket."""
        return f"postgresql://postgres@/postgres?host={self.directory}&port={self.port}"

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait()

    def _own_all(self) -> None:
        if self.account:
            for path in (self.data, *self.data.glob("*.c*"), *self.data.glob("*.key")):
                self.account.own(path)


@pytest.fixture(scope="module")
def postgres(certificates: Certificates, pytestconfig: pytest.Config) -> Iterator[Server]:
    """A server of Debian with three roles: of anybody, of who encrypts, of who has a certificate."""
    program = find_postgres(pytestconfig.cache)
    directory = Path(tempfile.mkdtemp(prefix="tls-"))
    account = server_account(directory)
    program.open_for(account)
    server = Server(directory, program.path, program.environment, certificates.ours.certificate)
    try:
        asyncio.run(_make_roles(server))
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory)


async def _make_roles(server: Server) -> None:
    for _ in range(600):
        pool = Pool(parse_url(server.administrator))
        try:
            await pool.open()
            break
        except ConnectionFailedError:
            await asyncio.sleep(0.05)
    else:
        pytest.fail((server.directory / "log").read_text())
    await pool.driver().script("CREATE ROLE anybody LOGIN; CREATE ROLE encrypted LOGIN; CREATE ROLE certified LOGIN")
    await pool.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _showing(server: Server, identity: Identity | None) -> Server:
    """Have the server show this certificate, and wait until it does."""
    server.show(identity)
    expected = None if identity is None else ssl.PEM_cert_to_DER_cert(identity.certificate.read_text())
    for _ in range(600):
        if await _shown(server.port) == expected:
            return server
        await asyncio.sleep(0.02)
    raise AssertionError("the server did not reload its certificate")


async def _shown(port: int) -> bytes | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(bytes.fromhex("0000000804d2162f"))
        if await reader.readexactly(1) != b"S":
            return None
        await writer.start_tls(context)
        shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return shown
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """`HOST` resolves to this machine."""
    resolve = socket.getaddrinfo

    def resolved(host: Any, *rest: Any, **more: Any) -> Any:
        return resolve("127.0.0.1" if host == HOST else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)


class TestModes:
    """What each spelling of the URL takes and refuses."""

    @pytest.fixture(autouse=True)
    def home(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """No certificate of the developer's own is found."""
        monkeypatch.setenv("HOME", str(tmp_path))

    @pytest.mark.parametrize("shown", OFFERED)
    async def test_which_certificate_is_refused_by_which_mode(
        self, postgres: Server, certificates: Certificates, shown: str
    ) -> None:
        """By libpq's and by Prisma's spelling; the error says what is wrong and what to do."""
        await _showing(postgres, certificates.offered[shown])
        for query, refused in REFUSED.items():
            url = postgres.url("encrypted", query.format(ca=certificates.ours.certificate))
            pool = Pool(parse_url(url))
            if shown not in refused:
                await pool.open()
                assert pool.tls is not None, query
                assert (pool.tls.version, pool.tls.cipher[:4]) == ("TLSv1.3", "TLS_"), query
                await pool.close()
                continue
            with pytest.raises(ConnectionFailedError) as caught:
                await pool.open()
            is_unknown = "system" in query and shown != "self-signed"
            assert f"Cannot connect to PostgreSQL at {HOST}:{postgres.port} (DATABASE_URL)" in str(caught.value)
            assert (NOT_TRUSTED if is_unknown else WORDS[shown]) in str(caught.value), query

    async def test_the_systems_authorities(
        self, postgres: Server, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """`sslrootcert=system` takes what the system trusts."""
        await _showing(postgres, certificates.offered["good"])
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ours.certificate))
        pool = Pool(parse_url(postgres.url("anybody", "sslmode=verify-full&sslrootcert=system")))
        await pool.open()
        assert pool.tls
        await pool.close()

    async def test_without_an_authority_nothing_can_be_verified(
        self, postgres: Server, certificates: Certificates
    ) -> None:
        """The error names the parameter."""
        await _showing(postgres, certificates.offered["good"])
        for mode in ("verify-ca", "verify-full"):
            with pytest.raises(ConnectionFailedError, match="Name it as sslrootcert=FILE"):
                await Pool(parse_url(postgres.url("anybody", f"sslmode={mode}"))).open()

    async def test_who_encrypts(self, postgres: Server, certificates: Certificates) -> None:
        """`disable` never, `allow` where the server insists, `prefer` where it can."""
        await _showing(postgres, certificates.offered["good"])
        expected = {"disable": False, "allow": False, "prefer": True, "require": True}
        for mode, is_encrypted in expected.items():
            pool = Pool(parse_url(postgres.url("anybody", f"sslmode={mode}")))
            await pool.open()
            server_side = await pool.driver().fetch("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            assert (pool.tls is not None, server_side[0][0]) == (is_encrypted, is_encrypted), mode
            await pool.close()
        with pytest.raises(ConnectionFailedError, match=r"encrypted connections only: use sslmode=require"):
            await Pool(parse_url(postgres.url("encrypted", "sslmode=disable"))).open()

    async def test_a_server_without_tls(self, postgres: Server, certificates: Certificates) -> None:
        """`prefer` goes on without; what insists is refused with what to switch on."""
        await _showing(postgres, None)
        for query in ("", "sslmode=allow", "sslmode=prefer"):
            pool = Pool(parse_url(postgres.url("anybody", query)))
            await pool.open()
            assert pool.tls is None
            await pool.close()
        ca = certificates.ours.certificate
        for query in (
            "sslmode=require",
            f"sslmode=verify-full&sslrootcert={ca}",
            f"sslaccept=strict&sslrootcert={ca}",
        ):
            with pytest.raises(ConnectionFailedError, match="the server offers no TLS") as caught:
                await Pool(parse_url(postgres.url("anybody", query))).open()
            assert "ssl = on" in str(caught.value)

    async def test_a_client_certificate(self, postgres: Server, certificates: Certificates) -> None:
        """Where the server demands one: ours is taken; none, and another authority's, are refused with what to give."""
        await _showing(postgres, certificates.offered["good"])
        ours, theirs = certificates.client, certificates.foreign_client
        for mode in ("require", "verify-full"):
            query = f"sslmode={mode}&sslrootcert={certificates.ours.certificate}"
            pool = Pool(parse_url(postgres.url("certified", f"{query}&sslcert={ours.certificate}&sslkey={ours.key}")))
            await pool.open()
            assert (await pool.driver().fetch("SELECT current_user::text"))[0][0] == "certified"
            await pool.close()
            with pytest.raises(ConnectionFailedError, match="as sslcert=FILE and sslkey=FILE"):
                await Pool(parse_url(postgres.url("certified", query))).open()
            stranger = f"{query}&sslcert={theirs.certificate}&sslkey={theirs.key}"
            with pytest.raises(ConnectionFailedError, match="refused the certificate of this client"):
                await Pool(parse_url(postgres.url("certified", stranger))).open()


def _context(identity: Identity) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    return context


def _socket(server: EmbeddedServer) -> Path:
    return Path(parse_url(server.url).host) / ".s.PGSQL.5432"


@pytest.fixture
async def plain_gate(server: EmbeddedServer) -> AsyncIterator[Gate]:
    """A way to the embedded server by TCP, without TLS."""
    async with Gate(_socket(server)) as gate:
        yield gate


@pytest.fixture
async def gate(server: EmbeddedServer, certificates: Certificates) -> AsyncIterator[Gate]:
    """A way to the embedded server by TCP that speaks TLS."""
    async with Gate(_socket(server), _context(certificates.offered["good"])) as gate:
        yield gate


def _strict(url: str) -> PrismaAgentClient:
    return PrismaAgentClient(settings=Settings(organization_id="acme", database_url=url, require_tls=True))


class TestClient:
    """What the client says of it, and what AGENTDB_REQUIRE_TLS makes of it."""

    async def test_health_tells_version_and_cipher(
        self, gate: Gate, database: Database, certificates: Certificates
    ) -> None:
        """Of this process's own connections: the server behind the gate knows of no TLS."""
        ca = str(certificates.ours.certificate)
        url = gate.url(database.url, HOST, sslmode="verify-full", sslrootcert=ca)
        async with PrismaAgentClient(url, "acme") as client:
            health = await client.health_check()
            assert (health.tls, health.tls_version, health.tls_cipher and health.tls_cipher[:4]) == (
                True,
                "TLSv1.3",
                "TLS_",
            )
            (row,) = await client.driver.fetch("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            assert not row[0]

    async def test_a_remote_host_without_tls_is_warned_of(
        self, gate: Gate, plain_gate: Gate, database: Database, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Once per connecting client, by a warning and in the log; a local one, and one with TLS, are not."""
        for url in (gate.url(database.url, HOST, sslmode="disable"), plain_gate.url(database.url, HOST)):
            caplog.clear()
            with pytest.warns(UserWarning, match=rf"connection to {HOST}:\d+ is not encrypted"):
                async with PrismaAgentClient(url, "acme"):
                    pass
            assert [record.message for record in caplog.records] == ["the connection is not encrypted"]
        for url in (
            plain_gate.url(database.url),
            plain_gate.url(database.url, "localhost"),
            gate.url(database.url, HOST),
            database.url,
        ):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                async with PrismaAgentClient(url, "acme") as client:
                    health = await client.health_check()
                    assert health.tls == (health.tls_version is not None) == (HOST in url)

    async def test_a_later_connection_without_tls(
        self, gate: Gate, database: Database, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Where the URL allows it: logged, and health no longer says that the connections are encrypted."""
        async with PrismaAgentClient(gate.url(database.url, HOST), "acme") as client:
            assert (await client.health_check()).tls
            gate.forget_tls()
            async with client.transaction():
                health = await client.health_check()
        assert (health.tls, health.tls_version, health.tls_cipher) == (False, None, None)
        assert "a further connection is not encrypted" in [record.message for record in caplog.records]

    async def test_a_later_connection_that_has_to_be_encrypted(self, gate: Gate, database: Database) -> None:
        """Where it cannot be, the call that needed it fails; the connection that there is goes on."""
        async with _strict(gate.url(database.url, HOST)) as client:
            gate.forget_tls()
            async with client.transaction() as tx:
                with pytest.raises(ConnectionFailedError, match="the server offers no TLS"):
                    await client.driver.fetch("SELECT 1")
                assert await tx.memories.count() == 0
            assert (await client.health_check()).tls

    @pytest.mark.parametrize("mode", [None, "allow", "prefer", "require"])
    async def test_tls_can_be_required(self, gate: Gate, database: Database, mode: str | None) -> None:
        """Every connection of the pool is encrypted then, whatever the URL leaves open."""
        parameters = {"sslmode": mode} if mode else {}
        async with _strict(gate.url(database.url, "localhost", **parameters)) as client:
            await asyncio.gather(*(client.driver.fetch("SELECT pg_sleep(0.05)") for _ in range(5)))
            assert (await client.health_check()).tls
        assert gate.encrypted >= 5
        assert gate.plain == 0

    async def test_what_cannot_be_encrypted_is_refused(self, gate: Gate, plain_gate: Gate, database: Database) -> None:
        """A URL that rules TLS out, before anything is sent; a server without it; never a unix socket."""
        with pytest.raises(ConfigurationError, match="sslmode=disable, and AGENTDB_REQUIRE_TLS refuses"):
            await _strict(gate.url(database.url, "localhost", sslmode="disable")).connect()
        assert gate.plain == 0
        for parameters in ({}, {"sslmode": "allow"}, {"sslmode": "prefer"}, {"sslmode": "require"}):
            with pytest.raises(ConnectionFailedError, match="the server offers no TLS"):
                await _strict(plain_gate.url(database.url, "localhost", **parameters)).connect()
        async with _strict(database.url) as client:
            assert not (await client.health_check()).tls

    async def test_doctor_says_it(
        self,
        gate: Gate,
        plain_gate: Gate,
        database: Database,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        """Version and cipher, or a warning with what to add; a refusal where TLS is required."""
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("ORGANIZATION_ID", "acme")

        async def last_of_connection(url: str) -> tuple[str, str]:
            monkeypatch.setenv("DATABASE_URL", url)
            *_, check = [check async for check in examine() if check.name in ("connection", "tls")]
            return check.state, check.finding + check.remedy

        state, text = await last_of_connection(gate.url(database.url, HOST))
        assert state == "warning"
        assert "encrypted with TLSv1.3 (TLS_" in text
        assert "any server's certificate is taken" in text
        state, text = await last_of_connection(plain_gate.url(database.url, HOST))
        assert state == "warning"
        assert "not encrypted" in text
        assert "sslmode=verify-full" in text
        monkeypatch.setenv("AGENTDB_REQUIRE_TLS", "1")
        state, text = await last_of_connection(plain_gate.url(database.url, HOST))
        assert state == "failed"
        assert "the server offers no TLS" in text
