"""`OpenAIEmbedder` against a real HTTP server on this machine."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from agentdb.client.memory.embedder import Embedder
from agentdb.client.memory.embedding import Embedding
from agentdb.embedders import OpenAIEmbedder
from agentdb.errors import ConfigurationError, EmbeddingError
from agentdb.postgres.vector import unpack_vector

KEY = "sk-proj-Zq3vT8xN1bYw5RkLmH2c"


@dataclass
class Request:
    """What the server got."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Reply:
    """What the server answers; *wait* runs before it does."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    wait: Callable[[], object] = lambda: None

    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class Server:
    """
    An endpoint like OpenAI's that embeds a text by its length, backwards, unless told otherwise.

    Attributes:
        replies: What to answer next, instead of vectors.
        requests: What was asked.
        is_over: Set when the test is over.
    """

    def __init__(self) -> None:
        self.replies: list[Reply | None] = []
        self.requests: list[Request] = []
        self.is_over = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._http.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.host}/v1"

    def stop(self) -> None:
        self.is_over.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _answer(self, request: Request) -> Reply:
        self.requests.append(request)
        reply = self.replies.pop(0) if self.replies else None
        return reply or Reply(body=embeddings(request.body["input"]))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                headers = {name.lower(): value for name, value in self.headers.items()}
                reply = server._answer(Request(self.path, headers, body))
                reply.wait()
                if server.is_over.is_set() or reply.status == 0:
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                for name, value in {"Content-Length": str(len(reply.data())), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.data())

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        return Handler


def embeddings(texts: list[str]) -> dict[str, Any]:
    """The last text first: only *index* tells which is which."""
    items = [{"object": "embedding", "index": place, "embedding": [len(text), 1]} for place, text in enumerate(texts)]
    return {"object": "list", "data": items[::-1], "model": "m"}


@pytest.fixture
def server() -> Iterator[Server]:
    """A server for one test."""
    started = Server()
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key and no proxy of the developer's own."""
    for name in ("OPENAI_API_KEY", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


async def failure(server: Server, *texts: str, **arguments: Any) -> EmbeddingError:
    """Return the error that embedding *texts* ends with."""
    async with OpenAIEmbedder("m", 2, **{"base_url": server.url, "api_key": KEY, **arguments}) as embedder:
        with pytest.raises(EmbeddingError) as caught:
            await embedder.embed(list(texts) or ["a", "bb"])
    return caught.value


# Asking


async def test_asks_as_openai_wants_it(server: Server) -> None:
    """One request for all texts; the vectors in their order, whatever the order of the answer."""
    async with OpenAIEmbedder("text-embedding-3-small", 2, api_key=KEY, base_url=server.url) as embedder:
        assert isinstance(embedder, Embedder)
        assert await embedder.embed(["a", "bb", "ccc"]) == [[1, 1], [2, 1], [3, 1]]
        assert await embedder.embed([]) == []

    (request,) = server.requests
    assert request.path == "/v1/embeddings"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["content-type"] == "application/json"
    assert request.body == {"model": "text-embedding-3-small", "input": ["a", "bb", "ccc"]}


async def test_dimensions_are_sent_on_request(server: Server) -> None:
    """Models with one length of vector refuse the field."""
    async with OpenAIEmbedder("m", 256, api_key=KEY, base_url=server.url, send_dimensions=True) as embedder:
        await embedder.embed(["a"])

    assert server.requests[0].body["dimensions"] == 256


@pytest.mark.parametrize(
    ("base_url", "path"),
    [
        ("{}/", "/v1/embeddings"),
        ("{}?api-version=2024-10-21&x=a%20b", "/v1/embeddings?api-version=2024-10-21&x=a%20b"),
        ("{}/deployments/my%20model/#here", "/v1/deployments/my%20model/embeddings"),
    ],
)
async def test_the_url_may_have_a_slash_or_a_query(server: Server, base_url: str, path: str) -> None:
    """The query is sent as it is."""
    async with OpenAIEmbedder("m", 2, api_key="", base_url=base_url.format(server.url)) as embedder:
        await embedder.embed(["a"])

    assert server.requests[0].path == path


async def test_texts_of_any_characters_arrive(server: Server) -> None:
    """Those that are no valid Unicode too."""
    texts = ["\ud800", "Größe\x00\n", "\U0001f600"]
    async with OpenAIEmbedder("m", 2, api_key=KEY, base_url=server.url) as embedder:
        await embedder.embed(texts)

    assert server.requests[0].body["input"] == texts


async def test_an_answer_without_indexes_is_in_order(server: Server) -> None:
    """Some servers leave out an index of 0, or all."""
    server.replies.append(Reply(body={"data": [{"embedding": [1, 2]}, {"embedding": [3, 4]}]}))
    server.replies.append(Reply(body={"data": [{"embedding": [1, 2]}, {"index": 1, "embedding": [3, 4]}]}))
    async with OpenAIEmbedder("m", 2, api_key=KEY, base_url=server.url) as embedder:
        assert await embedder.embed(["a", "b"]) == [[1, 2], [3, 4]]
        assert await embedder.embed(["a", "b"]) == [[1, 2], [3, 4]]


async def test_connections_are_kept_and_closed(server: Server) -> None:
    """Many requests at once; closing twice is fine, and a closed embedder opens again."""
    embedder = OpenAIEmbedder("m", 2, api_key=KEY, base_url=server.url)
    await asyncio.gather(*(embedder.embed(["a"]) for _ in range(4)))
    await embedder.close()
    await embedder.close()

    assert await embedder.embed(["a"]) == [[1, 1]]
    await embedder.close()


def test_works_in_another_event_loop(server: Server) -> None:
    """After the first one was closed: whether its connections were closed before or not."""
    server.replies += [Reply(body=embeddings(["a"]), headers={"Connection": "close"}), None, None]
    embedder = OpenAIEmbedder("m", 2, api_key=KEY, base_url=server.url)

    async def embed_and_close() -> list[list[float]]:
        async with embedder:
            return await embedder.embed(["a"])

    assert asyncio.run(embedder.embed(["a"])) == [[1, 1]]
    assert asyncio.run(embed_and_close()) == [[1, 1]]
    assert asyncio.run(embed_and_close()) == [[1, 1]]
    assert embedder._endpoint._clients == {}


# Failing


@pytest.mark.parametrize(
    ("status", "is_transient", "advice"),
    [
        (400, False, "400 Bad Request. Check the model's name"),
        (401, False, "401 Unauthorized. Check the API key"),
        (403, False, "403 Forbidden. Check what the API key may do"),
        (404, False, "404 Not Found. Check base_url"),
        (422, False, "Check the model's name"),
        (408, True, "408 Request Timeout"),
        (409, True, "409 Conflict"),
        (429, True, "429 Too Many Requests. It limits the rate"),
        (500, True, "500 Internal Server Error. It has a problem of its own"),
        (503, True, "503 Service Unavailable"),
        (529, True, "529. It has a problem"),
        (302, False, "302 Found. Set base_url to where it really is"),
    ],
)
async def test_a_refusal_says_what_to_do(server: Server, status: int, is_transient: bool, advice: str) -> None:
    """Status, endpoint, the server's words, and whether asking again may help."""
    server.replies.append(Reply(status, {"error": {"message": "these are my words", "type": "x"}}))

    error = await failure(server)

    assert str(error).startswith(f"The embeddings endpoint at {server.host} answered ")
    assert advice in str(error)
    assert str(error).endswith("It said: these are my words")
    assert (error.model, error.is_transient, error.retry_after_seconds) == ("m", is_transient, None)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": "plain words"}, "plain words"),
        ({"message": "a message"}, "a message"),
        ({"detail": [{"msg": "a detail"}]}, '[{"msg": "a detail"}]'),
        (b"<html>\n  <body>Bad Gateway</body>\n</html>", "<html> <body>Bad Gateway</body> </html>"),
        (b"\xff\xfe\x00", "\ufffd\ufffd"),
        (["odd"], '["odd"]'),
        (b"[" * 100_000, "[" * 200 + "…"),
        ({"error": {"message": "x" * 1_000_000}}, "x" * 200 + "…"),
    ],
    ids=["text", "message", "detail", "html", "bytes", "list", "deep", "long"],
)
async def test_the_servers_words_are_found_and_shortened(server: Server, body: Any, said: str) -> None:
    """Wherever it puts them."""
    server.replies.append(Reply(400, body))

    assert str(await failure(server)).endswith(f" It said: {said}")


async def test_a_refusal_without_words_says_nothing_of_them(server: Server) -> None:
    """The status has to do."""
    server.replies.append(Reply(503, b""))

    assert str(await failure(server)).endswith("try again later.")


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"Retry-After": "7"}, 7, 7),
        ({"Retry-After": "0.5"}, 0.5, 0.5),
        ({"retry-after-ms": "250", "Retry-After": "1"}, 0.25, 0.25),
        ({"Retry-After": format_datetime(datetime.now(UTC) + timedelta(days=2), usegmt=True)}, 86_400, 172_800),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0, 0),
    ],
)
async def test_how_long_to_wait_is_the_servers_to_say(
    server: Server, headers: dict[str, str], least: float, most: float
) -> None:
    """As seconds, as milliseconds, or as a moment."""
    server.replies.append(Reply(429, {}, headers))

    error = await failure(server)

    assert error.is_transient
    assert error.retry_after_seconds is not None
    assert least <= error.retry_after_seconds <= most


@pytest.mark.parametrize("value", ["soon", "", "-1", "1e999", "nan", "Wed, 99 Oct 2015 07:28:00 GMT"])
async def test_a_wait_that_is_none_is_ignored(server: Server, value: str) -> None:
    """The usual pause has to do."""
    server.replies.append(Reply(503, {}, {"Retry-After": value}))

    assert (await failure(server)).retry_after_seconds is None


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"<html>Hello</html>", "answered what is no JSON. Is base_url right? It said: <html>Hello</html>"),
        (b"", "answered what is no JSON"),
        (b'{"data": [', "answered what is no JSON"),
        (b"[" * 100_000, "answered what is no JSON"),
        ([], "no list of objects under “data”"),
        ({"data": None}, "no list of objects under “data”"),
        ({"data": [1, 2]}, "no list of objects under “data”"),
        ({"data": embeddings(["a"])["data"]}, "expected 2 embeddings, got 1"),
        ({"data": embeddings(["a", "b", "c"])["data"]}, "expected 2 embeddings, got 3"),
        ({"data": embeddings(["a"])["data"] * 2}, "indexes are not 0 to 1, each once"),
        ({"data": [{"index": 1, "embedding": [1]}, {"index": 2, "embedding": [1]}]}, "indexes are not 0 to 1"),
        ({"data": [{"index": [], "embedding": [1]}, {"index": {}, "embedding": [1]}]}, "another shape"),
        ({"data": [{"index": 0, "embedding": "AAAA"}, {"index": 1, "embedding": [1]}]}, "not a list of numbers"),
    ],
)
async def test_a_success_that_is_none_is_an_error(server: Server, body: Any, told: str) -> None:
    """It is not tried again: the next answer will have the same shape."""
    server.replies.append(Reply(200, body))

    error = await failure(server)

    assert told in str(error)
    assert server.host in str(error)
    assert not error.is_transient


async def test_a_server_that_hangs_is_given_up(server: Server) -> None:
    """The error says how long it had."""
    server.replies.append(Reply(wait=lambda: server.is_over.wait(10)))
    start = time.monotonic()

    error = await failure(server, timeout_seconds=0.1)

    assert "did not answer within 0.1 s (ReadTimeout)" in str(error)
    assert isinstance(error.__cause__, httpx.ReadTimeout)
    assert error.is_transient
    assert time.monotonic() - start < 5


async def test_a_connection_that_is_lost_may_be_tried_again(server: Server) -> None:
    """The server closed it without an answer."""
    server.replies.append(Reply(0))

    error = await failure(server)

    assert "cannot be reached" in str(error)
    assert error.is_transient


async def test_a_server_that_is_not_there_may_be_tried_again(server: Server) -> None:
    """The error names host and port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"

        error = await failure(server, base_url=f"http://{address}/v1")

    assert f"endpoint at {address} cannot be reached. Is base_url right, and the server up? ConnectError" in str(error)
    assert error.is_transient


# In a client


async def test_a_client_asks_again_and_waits_as_told(server: Server) -> None:
    """A rate limit and a crash are overcome; the vectors are those of the third answer."""
    server.replies += [Reply(429, {}, {"Retry-After": "0.2"}), Reply(500, b"oops"), None]
    start = time.monotonic()
    async with OpenAIEmbedder("m", 2, api_key=KEY, base_url=server.url) as embedder:
        (vector,) = await Embedding(embedder).embed(["abc"])

    assert unpack_vector(vector).tolist() == [3, 1]
    assert len(server.requests) == 3
    assert time.monotonic() - start >= 0.2


async def test_a_client_gives_up_what_hangs(server: Server) -> None:
    """Its own time-out ends the request, and no connection is left behind."""
    server.replies.append(Reply(wait=lambda: server.is_over.wait(10)))
    async with OpenAIEmbedder("m", 2, api_key=KEY, base_url=server.url) as embedder:
        with pytest.raises(EmbeddingError, match=r"no answer within 0\.1 s"):
            await Embedding(embedder, timeout_seconds=0.1, attempts=1).embed(["abc"])


async def test_a_client_does_not_repeat_a_refusal(server: Server) -> None:
    """The text of both errors says why."""
    server.replies.append(Reply(401, {"error": {"message": "no such key"}}))
    async with OpenAIEmbedder("m", 2, api_key=KEY, base_url=server.url) as embedder:
        with pytest.raises(EmbeddingError, match=r"1 attempt: EmbeddingError: .* 401 Unauthorized.*no such key"):
            await Embedding(embedder).embed(["abc"])

    assert len(server.requests) == 1


# What must not show


@pytest.mark.parametrize(
    "words",
    [
        f"Incorrect API key provided: {KEY}. You can find yours at …",
        f"header was 'Bearer {KEY}'",
        f"key {KEY[:14]}… is unknown",
        f"key …{KEY[-10:]} is unknown",
        f"{'x' * 190}{KEY}",
        f"{'x' * 9_990}{KEY}",
    ],
)
@pytest.mark.parametrize("status", [200, 401])
async def test_the_key_never_shows(server: Server, words: str, status: int, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in errors, though the server repeats it or a part of it, nor in a log, nor in a repr."""
    caplog.set_level(logging.DEBUG)
    server.replies += [Reply(status, words.encode()), Reply(status, {"error": {"message": words}}, {})]

    for _ in range(2):
        error = await failure(server)
        shown = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
        assert not _parts(KEY, 8) & set(_windows(shown, 8))
    assert "HTTP Request" in caplog.text
    assert not _parts(KEY, 8) & set(_windows(caplog.text, 8))
    assert KEY not in repr(OpenAIEmbedder("m", 2, api_key=KEY))


def _windows(text: str, length: int) -> list[str]:
    return [text[at : at + length] for at in range(len(text) - length + 1)]


def _parts(secret: str, length: int) -> set[str]:
    return set(_windows(secret, length))


@pytest.mark.parametrize("where", ["query", "header"])
async def test_a_key_in_the_url_or_a_header_never_shows(
    server: Server, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is sent, but neither logged nor shown; as it is, and as the URL has it."""
    caplog.set_level(logging.DEBUG)
    secret = "s3cr3t/k+y=with odd characters" if where == "query" else "s3cr3t-key-for-azure"
    quoted = "s3cr3t%2Fk%2By%3Dwith%20odd%20characters" if where == "query" else secret
    server.replies.append(Reply(403, {"error": f"no access for {secret}, that is {quoted}"}))
    arguments: dict[str, Any] = (
        {"base_url": f"{server.url}?key={quoted}"} if where == "query" else {"headers": {"api-key": secret}}
    )

    error = await failure(server, api_key="", **arguments)

    (request,) = server.requests
    assert quoted in (request.path if where == "query" else request.headers["api-key"])
    assert "s3cr3t" not in "".join(traceback.format_exception(error))
    assert "It said: no access for ***, that is ***" in str(error)
    assert "s3cr3t" not in caplog.text
    assert "s3cr3t" not in repr(OpenAIEmbedder("m", 2, api_key="", **{"base_url": server.url, **arguments}))


async def test_the_embedded_text_never_shows(server: Server) -> None:
    """Some servers repeat what they refuse."""
    text = "The patient in room 12 has been told the diagnosis."
    server.replies.append(Reply(422, {"detail": [{"msg": "too long", "input": [text]}]}))
    server.replies.append(Reply(200, text.encode()))

    for _ in range(2):
        error = await failure(server, text)
        assert "patient" not in "".join(traceback.format_exception(error))


async def test_redirects_are_not_followed(server: Server) -> None:
    """Neither key nor texts go where nobody meant them to."""
    server.replies.append(Reply(307, {}, {"Location": f"{server.url}/elsewhere"}))

    await failure(server)

    assert len(server.requests) == 1


# Setting up


async def test_the_key_is_that_of_the_environment_when_it_was_made(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """White space around it, as a file leaves it, is dropped; an argument comes first; an empty one sends none."""
    monkeypatch.setenv("OPENAI_API_KEY", " from-environment\n")
    embedders = [
        OpenAIEmbedder("m", 2, base_url=server.url),
        OpenAIEmbedder("m", 2, base_url=server.url, api_key="from-argument"),
        OpenAIEmbedder("m", 2, base_url=server.url, api_key=""),
        OpenAIEmbedder("m", 2, base_url=server.url, headers={"Authorization": "Basic abc"}),
    ]
    monkeypatch.setenv("OPENAI_API_KEY", "later")
    for embedder in embedders:
        async with embedder:
            await embedder.embed(["a"])

    assert [request.headers.get("authorization") for request in server.requests] == [
        "Bearer from-environment",
        "Bearer from-argument",
        None,
        "Basic abc",
    ]


@pytest.mark.parametrize(
    ("arguments", "variable"),
    [
        ({}, "OPENAI_API_KEY"),
        ({"api_key": "two words"}, "api_key"),
        ({"api_key": "sk-abc\ndef"}, "api_key"),
        ({"api_key": "sk-äbc"}, "api_key"),
        ({"api_key": KEY, "headers": {"x": "sk-abc\ndef"}}, "headers"),
        ({"api_key": KEY, "headers": {"x": 1}}, "headers"),
        ({"api_key": KEY, "base_url": "api.openai.com/sk-abc"}, "base_url"),
        ({"api_key": KEY, "base_url": "ftp://host/sk-abc"}, "base_url"),
        ({"api_key": KEY, "base_url": "https://"}, "base_url"),
        ({"api_key": KEY, "base_url": "https://user:sk-abc@host/v1"}, "base_url"),
        ({"api_key": KEY, "base_url": "https://host:port/sk-abc"}, "base_url"),
        ({"api_key": KEY, "base_url": None}, "base_url"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_made(arguments: dict[str, Any], variable: str) -> None:
    """The error names the setting and does not repeat its value."""
    with pytest.raises(ConfigurationError) as caught:
        OpenAIEmbedder("m", 2, **arguments)

    assert caught.value.variable == variable
    assert "sk-" not in "".join(traceback.format_exception(caught.value))


def test_without_httpx_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named."""
    monkeypatch.setitem(sys.modules, "httpx", None)

    with pytest.raises(ConfigurationError, match=r"pip install 'agentdb\[http\]'"):
        OpenAIEmbedder("m", 2, api_key=KEY)
