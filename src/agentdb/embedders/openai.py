"""`OpenAIEmbedder`: any endpoint that speaks OpenAI's `/embeddings`. Needs the extra `http`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from agentdb.embedders.library import import_extra
from agentdb.errors import ConfigurationError

if TYPE_CHECKING:
    import httpx

    from agentdb.embedders.http import Endpoint

__all__ = ["OpenAIEmbedder"]

_OPENAI = "https://api.openai.com/v1"


class OpenAIEmbedder:
    """
    Embeds by OpenAI, or by any server with the same `/embeddings`: Azure, Mistral, vLLM, Ollama and many more.

    It asks once; a client asks again where that may help. It may be used from several event loops. Close it with
    `close()` or `async with`; one that was closed opens again when it is used.

    Args:
        model: The model's name, as the endpoint knows it.
        dimensions: The length of its vectors.
        api_key: None: OPENAI_API_KEY at this moment. Empty: none is sent, for a server of one's own. It goes to
            *base_url*, and is never shown nor logged.
        base_url: What `/embeddings` is appended to. A query, such as `?api-version=…`, is sent along.
        send_dimensions: Ask for vectors of *dimensions*, which models with vectors of several lengths need and others
            refuse.
        headers: Sent along, for example {"api-key": …} for Azure.
        timeout_seconds: Longest wait for a connection, and between two pieces of the answer.

    Raises:
        ConfigurationError: httpx is not installed, there is no key for OpenAI itself, or an argument cannot be used.
    """

    def __init__(
        self,
        model: str,
        dimensions: int,
        *,
        api_key: str | None = None,
        base_url: str = _OPENAI,
        send_dimensions: bool = False,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float = 30.0,
    ) -> None:
        httpx = import_extra("httpx", "http")
        from agentdb.embedders.http import Endpoint

        self.model = model
        self.dimensions = dimensions
        self._send_dimensions = send_dimensions
        url = _url(httpx.URL, httpx.InvalidURL, base_url)
        self._endpoint: Endpoint = Endpoint(
            url,
            headers=_headers(_key(api_key, url), headers or {}),
            model=model,
            timeout_seconds=timeout_seconds,
        )

    def __repr__(self) -> str:
        return f"OpenAIEmbedder({self.model!r}, {self.dimensions!r}, host={self._endpoint.host!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections that this event loop holds. Doing so twice is fine."""
        await self._endpoint.close()

    async def embed(self, texts: list[str]) -> list[list[float]]:
        """
        Return a vector for each of *texts*, in one request.

        Raises:
            EmbeddingError: There is no answer, a refusal, or an answer of another shape. Its *is_transient* says
                whether asking again may help: after 408, 409, 429, 5xx, a time-out or a lost connection.
        """
        if not texts:
            return []
        body: dict[str, object] = {"model": self.model, "input": texts}
        if self._send_dimensions:
            body["dimensions"] = self.dimensions
        answer = await self._endpoint.post(body, texts)
        try:
            return _vectors(answer, len(texts))
        except (ValueError, TypeError) as error:
            raise self._endpoint.failure(f"answered in another shape than OpenAI's: {error}.") from None


def _vectors(answer: Any, count: int) -> list[list[float]]:
    """Return the vectors in the order of the texts, which each one's *index* gives: the answer may have another."""
    items = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError("it has no list of objects under “data”")
    if len(items) != count:
        raise ValueError(f"expected {count} embeddings, got {len(items)}")
    placed = {item.get("index", place): item.get("embedding") for place, item in enumerate(items)}
    if placed.keys() != set(range(count)):
        raise ValueError(f"the embeddings' indexes are not 0 to {count - 1}, each once")
    if not all(isinstance(vector, list) for vector in placed.values()):
        raise ValueError("an embedding is not a list of numbers")
    return [placed[place] for place in range(count)]


def _url(parse: type[httpx.URL], invalid: type[Exception], base_url: str) -> httpx.URL:
    try:
        url = parse(base_url)
        url = url.copy_with(path=url.path.rstrip("/") + "/embeddings", fragment=None)
    except (invalid, TypeError, ValueError):
        raise ConfigurationError("base_url", "is no URL; expected something like https://host/v1.") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigurationError("base_url", "expected a URL that begins with https:// or http:// and names a host.")
    if url.userinfo:
        raise ConfigurationError("base_url", "holds a user or a password; use api_key=… or headers=… instead.")
    return url


def _key(api_key: str | None, url: httpx.URL) -> str:
    source = "OPENAI_API_KEY" if api_key is None else "api_key"
    key = (os.environ.get("OPENAI_API_KEY", "") if api_key is None else api_key).strip()
    if not _is_header(key) or " " in key:
        raise ConfigurationError(source, "holds a character that no key has; was it copied whole, and nothing else?")
    if not key and api_key is None and url.host == "api.openai.com":
        raise ConfigurationError(source, "not set, and no api_key=… was given; OpenAI needs one.")
    return key


def _headers(key: str, headers: Mapping[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _is_header(name) or not _is_header(value):
            raise ConfigurationError("headers", "names and values are printable ASCII text.")
    return {**({"Authorization": f"Bearer {key}"} if key else {}), **headers}


def _is_header(text: object) -> bool:
    return isinstance(text, str) and text.isascii() and (text.isprintable() or not text)
