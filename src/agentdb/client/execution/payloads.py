"""What of tasks, results and steps may be kept: redacted first, then cut to size."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from agentdb.client.execution.cutting import SMALLEST, cut_json, cut_text, fits
from agentdb.client.execution.rows import Failure
from agentdb.errors import ConfigurationError
from agentdb.validation import check_json, json_text, parse_json

__all__ = ["Payloads", "Redact"]

logger: Final = logging.getLogger("agentdb.client")

Redact: TypeAlias = Callable[[Any, str], Any]

_LEFT_OUT: Final = "[agentdb: redaction failed, left out]"
_MAX_ERROR_BYTES: Final = 10_000
_MAX_TRACEBACK_BYTES: Final = 100_000


class Payloads:
    """
    Makes what an execution keeps of tasks, results, errors and steps.

    Without a hook, what is small costs one writing as JSON and a comparison of lengths.

    Args:
        redact: Called with a copy of each value and the name of its field before anything is written; what it returns
            is kept. When it raises, or returns what is not JSON, that is logged and a mark is kept in its place.
        at_most: The largest value that is kept whole, in bytes of JSON or of text; 256 at least. See `cut_json`.

    Raises:
        ConfigurationError: *redact* is an `async def`.
    """

    def __init__(self, redact: Redact | None, at_most: int) -> None:
        if redact is not None and (_is_async(redact) or _is_async(getattr(type(redact), "__call__", None))):  # noqa: B004
            raise ConfigurationError(
                "redact", "expected a function that is not async: it is called where nothing can wait for it."
            )
        self._redact = redact
        self._at_most = max(at_most, SMALLEST)

    def json(self, value: Any, field: str) -> str:
        """Return what is kept of *value*, as JSON text; InvalidInputError when it is not JSON."""
        text = check_json(value, field)
        if self._redact is not None:
            value, text = self._redacted(parse_json(text), field)
        return text if fits(text, self._at_most) else cut_json(value, text, self._at_most)

    def object_json(self, value: dict[str, Any], field: str) -> str:
        """Return what is kept of a JSON object, as the text of one; InvalidInputError when it is not JSON."""
        text = check_json(value, field)
        if self._redact is not None:
            kept, text = self._redacted(parse_json(text), field)
            value = kept if isinstance(kept, dict) else {"value": kept}
            text = text if value is kept else json_text(value)
        return text if fits(text, self._at_most) else cut_json(value, text, self._at_most)

    def text(self, text: str, field: str) -> str:
        """Return what is kept of a text that can be stored; of a redaction that gives no text, its JSON."""
        return self._text(text, field, self._at_most)

    def failure(self, failure: Failure) -> Failure:
        """Return what is kept of an error: at most 10,000 bytes of its text, 100,000 of its traceback."""
        error, _, traceback = failure
        return failure._replace(
            error=None if error is None else self._text(error, "error", min(_MAX_ERROR_BYTES, self._at_most)),
            traceback=None
            if traceback is None
            else self._text(traceback, "traceback", min(_MAX_TRACEBACK_BYTES, self._at_most)),
        )

    def _text(self, text: str, field: str, at_most: int) -> str:
        if self._redact is not None:
            kept, as_json = self._redacted(text, field)
            text = kept if isinstance(kept, str) else as_json
        return cut_text(text, at_most)

    def _redacted(self, value: Any, field: str) -> tuple[Any, str]:
        """Return what the hook makes of *value*, which is its own to change, and the JSON of that."""
        assert self._redact is not None  # nobody calls this without one
        kept = None
        try:
            kept = self._redact(value, field)
            return kept, json_text(kept)
        except Exception as error:  # whatever it does, the task goes on and nothing of the value is written
            if inspect.iscoroutine(kept):
                kept.close()  # nobody will await it
            # The error's text may hold the value.
            logger.error(  # noqa: TRY400
                "the redaction of a payload failed; it was left out",
                extra={"field": field, "error": type(error).__name__},
            )
            return _LEFT_OUT, json_text(_LEFT_OUT)


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
