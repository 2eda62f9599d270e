"""The generated package that a client class belongs to: its error classes, and what requests need of it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any, cast

from agentdb.engine import raw
from agentdb.engine.errors import translate
from agentdb.engine.parameters import Dialect, write_json
from agentdb.engine.parsing import hand_models_on
from agentdb.engine.request import Call, model_name
from agentdb.errors import NotConnectedError


@dataclass(frozen=True, slots=True)
class Package:
    """
    What this engine uses of a generated package.

    Attributes:
        client: Its module of the class ``Prisma``.
        errors: Its ``errors``.
        engine_errors: Its ``engine.errors``.
        utils: Its ``engine.utils``, which turns an answer of the engine into one of ``errors``.
        dialect: What requests need of it.
    """

    client: ModuleType
    errors: ModuleType
    engine_errors: ModuleType
    utils: ModuleType
    dialect: Dialect

    @classmethod
    def of(cls, client_class: type) -> Package:
        """
        Find the package of a generated client class.

        Raises:
            ImportError: It belongs to none.
            AttributeError: It belongs to one that is of another release.
        """
        name = client_class.__module__.rpartition(".")[0]
        if not name:
            raise ImportError(f"{client_class!r} is in no package.")
        fields = importlib.import_module(f"{name}.fields")
        builder = importlib.import_module(f"{name}._builder")
        metadata = importlib.import_module(f"{name}.metadata")
        hand_models_on(importlib.import_module(f"{name}.actions"))
        return cls(
            client=sys.modules[client_class.__module__],
            errors=importlib.import_module(f"{name}.errors"),
            engine_errors=importlib.import_module(f"{name}.engine.errors"),
            utils=importlib.import_module(f"{name}.engine.utils"),
            dialect=Dialect(fields.Json, fields.Base64, builder.dumps, *_selectors(builder.QueryBuilder, metadata)),
        )

    def own_error(self, error: Exception, call: Call | None = None) -> Exception:
        """Return the package's error for what went wrong in *call*."""
        if isinstance(error, NotConnectedError):
            return self.not_connected(str(error))
        is_raw = call is not None and call.method in raw.METHODS
        model = None if call is None or call.model is None or is_raw else model_name(call.model)
        try:
            self.utils.handle_response_errors(None, [translate(error, model, is_raw=is_raw).payload()])
        except Exception as own:
            return own.with_traceback(None)
        raise AssertionError("it always raises")

    def not_connected(self, text: str | None = None) -> Exception:
        """Return the error of a client that is used before it is connected, or in another event loop."""
        error: Exception = self.errors.ClientNotConnectedError()
        if text is not None:
            error.args = (text,)
        return error

    def already_connected(self) -> Exception:
        """Return the error of a client that is connected a second time."""
        error: Exception = self.engine_errors.AlreadyConnectedError("Already connected to the query engine")
        return error

    def connection_error(self, text: str) -> Exception:
        """Return the error of a client that cannot connect."""
        error: Exception = self.engine_errors.EngineConnectionError(text)
        return error


def _selectors(
    builder: Any, metadata: ModuleType
) -> tuple[Callable[[type], Mapping[str, Any]], Callable[[type], str], Callable[[type, str], type]]:
    """Return the look-ups of `Dialect`, remembered: the generated client's own take 20 microseconds a call."""

    def helper(model: type) -> Any:
        return builder(
            method="find_many",
            arguments={},
            model=model,
            prisma_models=metadata.PRISMA_MODELS,
            relational_field_mappings=metadata.RELATIONAL_FIELD_MAPPINGS,
        )

    @lru_cache(maxsize=1024)
    def fields(model: type) -> Mapping[str, Any]:
        return dict.fromkeys(helper(model).get_default_fields(model), True)

    @lru_cache(maxsize=1024)
    def fields_text(model: type) -> str:
        return write_json(fields(model))

    @lru_cache(maxsize=1024)
    def related(model: type, field: str) -> type:
        return cast(type, helper(model).get_relational_model(model, field))

    return fields, fields_text, related
