"""
`Endpoint`: JSON over HTTP, failures in words, and secrets that stay out of them.

It imports httpx, so it is imported only when an embedder that needs it is made.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote

import httpx

from agentdb.errors import EmbeddingError, quotable

__all__ = ["Endpoint"]

_TRANSIENT = frozenset({408, 409, 429})
_ADVICE = {
    400: "Check the model's name, its dimensions and the length of the texts.",
    401: "Check the API key: api_key=… or OPENAI_API_KEY.",
    403: "Check what the API key may do.",
    404: "Check base_url, which often ends in /v1, and the model's name.",
    413: "Lower batch_size, or embed shorter texts.",
    422: "Check the model's name, its dimensions and the length of the texts.",
    429: "It limits the rate, or the quota is used up: ask less often, or raise the limit.",
}
_SHORTEST_PIECE = 8
_LONGEST_READ = 10_000


class Endpoint:
    """
    Where a model is asked.

    It has one connection pool for each event loop that uses it, made when it is first used there.

    Args:
        url: Where to post. Its query is sent, but neither logged nor shown.
        headers: Sent with every request; their values are never shown.
        model: What to say in errors.
        timeout_seconds: Longest wait for a connection, and between two pieces of an answer.
    """

    def __init__(self, url: httpx.URL, *, headers: Mapping[str, str], model: str, timeout_seconds: float) -> None:
        self.host: str = url.netloc.decode("ascii")
        self._url = url.copy_with(query=None)
        # httpx logs the URL of a request, so the query travels beside it.
        self._extensions = {"target": url.raw_path} if url.query else {}
        self._headers = {"Content-Type": "application/json", **headers}
        self._secrets = list(_secrets(url, headers))
        self._model = model
        self._timeout_seconds = timeout_seconds
        self._clients: dict[asyncio.AbstractEventLoop, httpx.AsyncClient] = {}

    async def post(self, body: Mapping[str, object], confidential: Sequence[str]) -> Any:
        """
        Post *body* and return the JSON of the answer.

        Args:
            body: The JSON to post.
            confidential: What must not show in an error, though the server may repeat it.

        Raises:
            EmbeddingError: There is no answer, it is not a success, or it is no JSON.
        """
        client = self._client()
        request = client.build_request("POST", self._url, content=json.dumps(body), extensions=self._extensions)
        try:
            response = await client.send(request)
        except httpx.RequestError as error:
            raise self._unreachable(error) from error
        if not response.is_success:
            raise self._refusal(response, confidential)
        try:
            return response.json()
        except (ValueError, RecursionError) as error:  # its text says where, not what
            raise self.failure(
                f"answered what is no JSON. Is base_url right? It said: {self._quote(response.text, confidential)}"
            ) from error

    def failure(
        self, what: str, *, is_transient: bool = False, retry_after_seconds: float | None = None
    ) -> EmbeddingError:
        """Return the error that says *what* this endpoint did."""
        return EmbeddingError(
            f"The embeddings endpoint at {self.host} {what}",
            model=self._model,
            is_transient=is_transient,
            retry_after_seconds=retry_after_seconds,
        )

    async def close(self) -> None:
        """Close this event loop's connections. Using the endpoint again opens new ones."""
        self._forget_closed_loops()
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def _client(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            self._forget_closed_loops()
            # No redirects: the key and the texts go where they were meant to, or nowhere.
            client = httpx.AsyncClient(headers=self._headers, timeout=self._timeout_seconds, follow_redirects=False)
            self._clients[loop] = client
        return client

    def _forget_closed_loops(self) -> None:
        for loop in list(self._clients):
            if loop.is_closed():
                self._clients.pop(loop, None)

    def _unreachable(self, error: httpx.RequestError) -> EmbeddingError:
        name = type(error).__name__
        if isinstance(error, httpx.TimeoutException):
            what = f"did not answer within {self._timeout_seconds:g} s ({name}). Is it up, or too slow for the batch?"
        else:
            what = f"cannot be reached. Is base_url right, and the server up? {name}: {self._quote(str(error))}"
        is_ours = isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError)
        return self.failure(what, is_transient=not is_ours)

    def _refusal(self, response: httpx.Response, confidential: Sequence[str]) -> EmbeddingError:
        status = response.status_code
        said = self._quote(_message(response), confidential)
        return self.failure(
            f"answered {_status_line(status)}. {_advice(status)}{f' It said: {said}' if said else ''}",
            is_transient=status in _TRANSIENT or status >= 500,
            retry_after_seconds=_retry_after_seconds(response.headers),
        )

    def _quote(self, text: str, confidential: Sequence[str] = ()) -> str:
        """Return what may be shown of *text*: no secret, no longer part of one, nothing of what was to be embedded."""
        text = text[:_LONGEST_READ]
        for secret in self._secrets:
            text = text.replace(secret, "***")
        if any(_piece_is_in(text, secret) for secret in self._secrets):
            return "(left out, because it repeats a part of the key)"
        return quotable(text, confidential)


def _status_line(status: int) -> str:
    # The server's own words may be anything.
    return f"{status} {HTTPStatus(status).phrase}" if status in set(HTTPStatus) else str(status)


def _advice(status: int) -> str:
    if status >= 500:
        return "It has a problem of its own; try again later."
    if status < 400:
        return "Set base_url to where it really is; redirects are not followed."
    return _ADVICE.get(status, "Check base_url and the model's name.")


def _secrets(url: httpx.URL, headers: Mapping[str, str]) -> Iterator[str]:
    """Yield what must not show: the words of the headers' values and of the query, the longest first."""
    query = url.query.decode("ascii")
    values = [word for value in headers.values() for word in value.split()]
    values += [value for _, value in parse_qsl(query)]
    values += [part.partition("=")[2] for part in query.split("&")]
    values += [unquote(part.partition("=")[2]) for part in query.split("&")]
    yield from sorted({value for value in values if len(value) >= 4}, key=len, reverse=True)


def _piece_is_in(text: str, secret: str) -> bool:
    starts = range(len(secret) - _SHORTEST_PIECE + 1)
    return any(secret[start : start + _SHORTEST_PIECE] in text for start in starts)


def _message(response: httpx.Response) -> str:
    """Return the words of a refusal: OpenAI's {"error": {"message": …}}, or whatever else there is."""
    try:
        said = response.json()
    except (ValueError, RecursionError):
        return response.text
    for key in ("error", "message", "detail"):
        if isinstance(said, dict) and said.get(key):
            said = said[key]
    return said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)


def _retry_after_seconds(headers: httpx.Headers) -> float | None:
    """Read Retry-After, a number of seconds or a date, or the finer header that OpenAI adds."""
    try:
        if "retry-after-ms" in headers:
            seconds = float(headers["retry-after-ms"]) / 1000
        elif headers.get("retry-after", "").strip()[:1].isdigit():
            seconds = float(headers["retry-after"])
        else:
            moment = parsedate_to_datetime(headers["retry-after"])
            seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
