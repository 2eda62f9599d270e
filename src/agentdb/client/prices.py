"""The `model_prices` table: what tokens of language models cost, beside a list that comes with the client."""

from __future__ import annotations

import builtins
from datetime import datetime
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Final, TypeAlias

from agentdb.client.queries import load_queries
from agentdb.client.resource import Resource
from agentdb.errors import InvalidInputError, NotFoundError
from agentdb.models import ModelPrice, from_row
from agentdb.validation import check_text, check_time

if TYPE_CHECKING:
    from agentdb.postgres.driver import Record

__all__ = ["Amount", "Prices", "check_price"]

Amount: TypeAlias = Decimal | int | float | str

_SQL: Final = load_queries("prices")
_LAST_DECIMAL: Final = Decimal("1e-10")
# Whatever context the caller has set.
_ROUNDING: Final = Context(prec=40, traps=[])


class Prices(Resource):
    """
    Prices of language models, in US dollars for a million tokens.

    An execution costs what its model cost when it started, by the organization's own prices, else by the list:

        (input * i + cached_input * c + cache_write * w + output * o) / 1,000,000

    Reasoning is a part of the output. It is computed when the execution ends, as exact decimals, rounded to ten places,
    and never changed by prices that are set later. Unknown stays None: of a model without a price, of tokens whose
    class has none, of an execution that counted no tokens.

    The list holds the standard prices of some models of OpenAI and Anthropic as of 2025-11-28 (see `list`); batches,
    priority, long prompts and discounts cost otherwise. Whatever it says, a price of your own goes before it.
    """

    async def set(
        self,
        model: str,
        *,
        input: Amount | None,
        output: Amount | None,
        cached_input: Amount | None = None,
        cache_write: Amount | None = None,
        valid_from: datetime | None = None,
    ) -> ModelPrice:
        """
        Set the organization's price of a model from a time on, in one round trip; another one of that time is replaced.

        Args:
            model: The name that executions give, 1 to 255 characters.
            input: Of input tokens that are not read from a cache: US dollars for a million, 0 to below 10,000,000,000,
                at most ten decimals. A float is taken as it is printed: 0.1 is 0.1. None: unknown.
            output: Of output tokens, reasoning included.
            cached_input: Of input tokens read from a cache.
            cache_write: Of input tokens written to a cache.
            valid_from: Since when; a naive time is taken as UTC. None: from now on; when it is what is valid now,
                nothing is written, so a program may set its prices each time it starts.

        Returns:
            The price as it is stored.

        Raises:
            InvalidInputError: An argument does not fit.
        """
        rows = await self._fetch(
            _SQL["set"],
            check_text(model, "model"),
            check_time(valid_from, "valid_from"),
            check_price(input, "input"),
            check_price(cached_input, "cached_input"),
            check_price(cache_write, "cache_write"),
            check_price(output, "output"),
        )
        return _price(rows[0])

    async def get(self, model: str, at: datetime | None = None) -> ModelPrice:
        """
        Return the price by which an execution that started *at* that time is counted.

        Args:
            model: The model's name, as executions give it.
            at: When; a naive time is taken as UTC. None: now.

        Raises:
            NotFoundError: Neither the organization nor the list has a price of that time.
        """
        rows = await self._fetch(_SQL["get"], check_text(model, "model"), check_time(at, "at"))
        if not rows:
            raise NotFoundError("price", model)
        return _price(rows[0])

    async def list(self, model: str | None = None) -> builtins.list[ModelPrice]:
        """
        Return all prices, also past and future ones: by model, the organization's own before the list's, newest first.

        Args:
            model: Only those of this model.

        Raises:
            InvalidInputError: *model* is no name.
        """
        rows = await self._fetch(_SQL["list"], None if model is None else check_text(model, "model"))
        return [_price(row) for row in rows]

    async def delete(self, model: str, valid_from: datetime) -> bool:
        """
        Delete a price of the organization's own; what was counted by it stays.

        Args:
            model: The model's name.
            valid_from: The time that the price was set from; a naive time is taken as UTC.

        Returns:
            Whether there was one; the list's prices stay.

        Raises:
            InvalidInputError: An argument does not fit.
        """
        moment = check_time(valid_from, "valid_from")
        if moment is None:
            raise InvalidInputError("valid_from", "expected a datetime, got NoneType.")
        return await self._execute(_SQL["delete"], check_text(model, "model"), moment) > 0


def check_price(price: Amount | None, field: str) -> Decimal | None:
    """Return *price* as the decimal that it is written as, when the column holds it as it is; None stays."""
    if price is None:
        return None
    if isinstance(price, bool) or not isinstance(price, Decimal | int | float | str):
        raise InvalidInputError(field, f"expected a number, got {type(price).__name__}.")
    try:
        amount = Decimal(str(price))
    except (ArithmeticError, ValueError):  # no number; an integer of more digits than Python writes
        amount = Decimal("NaN")
    if not (amount.is_finite() and 0 <= amount < 10**10):
        raise InvalidInputError(field, "expected US dollars for a million tokens: 0 to below 10,000,000,000.")
    if amount.quantize(_LAST_DECIMAL, context=_ROUNDING) != amount:
        raise InvalidInputError(field, "expected at most ten decimals.")
    return amount


def _price(record: Record) -> ModelPrice:
    return from_row(ModelPrice, dict(record.items()))
