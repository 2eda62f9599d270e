"""`client.prices`, and what an execution costs by them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdb import (
    Agent,
    AgentConfig,
    Execution,
    InvalidInputError,
    ModelPrice,
    NotFoundError,
    PrismaAgentClient,
    TokenUsage,
)
from agentdb.client.prices import check_price
from tests.wire import Wire

pytestmark = pytest.mark.postgres

DAY = timedelta(days=1)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


async def _run(client: PrismaAgentClient, agent: Agent, model: str | None, **tokens: int) -> Execution:
    started = await client.executions.start(agent.id, "task", model=model)
    return await client.executions.finish(started.id, usage=TokenUsage(**tokens))


def _amounts(price: ModelPrice) -> tuple[object, ...]:
    return price.input, price.cached_input, price.cache_write, price.output


async def test_a_price_comes_back_as_it_was_set(client: PrismaAgentClient) -> None:
    """Decimals, whole numbers, texts and floats without their noise; unknown stays None."""
    start = datetime(2025, 1, 1, tzinfo=UTC)

    stored = await client.prices.set(
        "m", input=0.1, output="2.5000000001", cached_input=Decimal("0.025"), cache_write=3, valid_from=start
    )

    assert _amounts(stored) == (Decimal("0.1"), Decimal("0.025"), Decimal(3), Decimal("2.5000000001"))
    assert (stored.model, stored.valid_from, stored.is_own) == ("m", start, True)
    assert await client.prices.get("m") == stored == await client.prices.get("m", start)
    assert await client.prices.list("m") == [stored]
    partly = await client.prices.set("m", input=None, output=0, valid_from=start)
    assert _amounts(partly) == (None, None, None, Decimal(0))
    assert await client.prices.list("m") == [partly]


async def test_a_price_is_valid_until_the_next(client: PrismaAgentClient) -> None:
    """Before the first there is none; a price of the future waits."""
    for days in (30, 10, -5):
        await client.prices.set("m", input=days + 100, output=0, valid_from=datetime.now(UTC) - days * DAY)

    async def at(days: float) -> int | None:
        try:
            return int((await client.prices.get("m", datetime.now(UTC) - days * DAY)).input or 0) - 100
        except NotFoundError:
            return None

    assert [await at(days) for days in (31, 29, 11, 9, 0, -4, -6)] == [None, 30, 30, 10, 10, 10, -5]
    assert [int(price.input or 0) - 100 for price in await client.prices.list("m")] == [-5, 10, 30]


async def test_setting_without_a_time_is_from_now_on(client: PrismaAgentClient) -> None:
    """The price that is valid already is not written again; another one is, and the one before stays in the past."""
    first = await client.prices.set("m", input=1, output=2)
    again = await client.prices.set("m", input="1.0", output=2.0)
    other = await client.prices.set("m", input=1, output=None)
    back = await client.prices.set("m", input=1, output=2)

    assert again == first
    assert await client.prices.list("m") == [back, other, first]
    assert first.valid_from < other.valid_from < back.valid_from <= datetime.now(UTC) + DAY
    await client.prices.set("m", input=9, output=9, valid_from=datetime.now(UTC) + DAY)
    assert await client.prices.set("m", input=1, output=2) == back


async def test_deleting_gives_back_the_list(client: PrismaAgentClient) -> None:
    """The list itself stays."""
    listed = await client.prices.get("gpt-4o-mini")
    own = await client.prices.set("gpt-4o-mini", input=7, output=7, valid_from=LONG_AGO)
    assert (await client.prices.get("gpt-4o-mini"), listed.is_own) == (own, False)

    assert await client.prices.delete("gpt-4o-mini", LONG_AGO) is True
    assert await client.prices.delete("gpt-4o-mini", LONG_AGO) is False
    assert await client.prices.delete("gpt-4o-mini", listed.valid_from) is False
    assert await client.prices.get("gpt-4o-mini") == listed


async def test_prices_are_the_organizations_own(client: PrismaAgentClient, agent: Agent) -> None:
    """Another one sees the list."""
    elsewhere = client.for_organization("elsewhere")
    foreign = await elsewhere.agents.register(AgentConfig(name="scout", category="SUPPORT"))
    await client.prices.set("m", input=1, output=1)

    assert (await _run(client, agent, "m", input=1_000_000)).cost == 1
    assert (await _run(elsewhere, foreign, "m", input=1_000_000)).cost is None
    with pytest.raises(NotFoundError):
        await elsewhere.prices.get("m")
    assert [price for price in await elsewhere.prices.list() if price.is_own] == []


async def test_the_list(client: PrismaAgentClient) -> None:
    """Each model and date once, positive, none of the future, cached input below input, output above it or unknown."""
    prices = await client.prices.list()

    keys = [(price.model, price.valid_from) for price in prices]
    assert len(set(keys)) == len(keys) >= 40
    assert sorted(keys, key=lambda key: (key[0], -key[1].timestamp())) == keys
    for price in prices:
        assert price.is_own is False
        assert price.input is not None
        assert 0 < (price.cached_input or price.input / 2) < price.input <= (price.output or price.input)
        assert price.cache_write in (None, price.input * Decimal("1.25"))
        assert datetime(2024, 1, 1, tzinfo=UTC) < price.valid_from < datetime(2025, 12, 1, tzinfo=UTC)
    assert _amounts(await client.prices.get("gpt-4o", datetime(2024, 9, 1, tzinfo=UTC)))[::3] == (5, 15)
    assert _amounts(await client.prices.get("gpt-4o"))[::3] == (Decimal("2.5"), 10)
    assert _amounts(await client.prices.get("claude-sonnet-4-5")) == (3, Decimal("0.3"), Decimal("3.75"), 15)


async def test_an_execution_costs_what_its_model_cost_when_it_started(client: PrismaAgentClient, agent: Agent) -> None:
    """Prices that are set later, or for later, change nothing; nor does deleting the price."""
    old = await client.prices.set("m", input=1, output=10)
    started = await client.executions.start(agent.id, "task", model="m")
    await client.prices.set("m", input=100, output=1000)
    usage = TokenUsage(input=1_000_000, output=100_000, reasoning=50_000)

    finished = await client.executions.finish(started.id, usage=usage)

    assert finished.cost == 2
    await client.prices.delete("m", old.valid_from)
    assert (await client.executions.get(started.id)).cost == 2
    assert (await _run(client, agent, "m", **usage.model_dump())).cost == 200


async def test_own_prices_go_before_the_list(client: PrismaAgentClient, agent: Agent) -> None:
    """Also an older one; a price of the future does not."""
    assert (await _run(client, agent, "gpt-4o-mini", input=1_000_000)).cost == Decimal("0.15")
    await client.prices.set("gpt-4o-mini", input=9, output=9, valid_from=datetime.now(UTC) + DAY)
    assert (await _run(client, agent, "gpt-4o-mini", input=1_000_000)).cost == Decimal("0.15")
    await client.prices.set("gpt-4o-mini", input=7, output=7, valid_from=LONG_AGO)
    assert (await _run(client, agent, "gpt-4o-mini", input=1_000_000)).cost == 7


@pytest.mark.parametrize(
    ("prices", "tokens", "cost"),
    [
        ({"input": 1, "output": 1}, {}, None),
        ({"input": 1, "output": 1}, {"input": 1}, "0.000001"),
        ({"input": 1, "output": 1}, {"cached_input": 1}, None),
        ({"input": 1, "output": 1}, {"cache_write": 1}, None),
        ({"input": 1, "output": None}, {"input": 10**6}, "1"),
        ({"input": 1, "output": None}, {"input": 10**6, "output": 1}, None),
        ({"input": None, "output": 0}, {"output": 5, "reasoning": 5}, "0"),
        ({"input": 0, "output": 0}, {"input": 2**63 - 1, "output": 2**63 - 1}, "0"),
        ({"input": "0.0001", "output": 0}, {"input": 1}, "0.0000000001"),
        ({"input": "0.00005", "output": 0}, {"input": 1}, "0.0000000001"),
        ({"input": "0.00004", "output": 0}, {"input": 1}, "0.0000000000"),
        ({"input": "9999999999.9999999999", "output": 0}, {"input": 10**6 - 1}, "9999989999.9999999999"),
        ({"input": "9999999999", "output": 0}, {"input": 2**63 - 1}, None),
        ({"input": 1, "output": 0}, {"input": 10**16 - 1}, "9999999999.999999"),
        ({"input": 1, "output": 0}, {"input": 10**16}, None),
    ],
)
async def test_a_cost_is_exact_or_unknown(
    client: PrismaAgentClient, agent: Agent, prices: dict[str, Any], tokens: dict[str, int], cost: str | None
) -> None:
    """Of no tokens, of a class without a price, and of more than the column holds it is unknown, and nothing fails."""
    await client.prices.set("m", **prices)

    assert (await _run(client, agent, "m", **tokens)).cost == (None if cost is None else Decimal(cost))


async def test_every_class_has_its_price(client: PrismaAgentClient, agent: Agent) -> None:
    """As Python computes it with as many digits as it takes."""
    prices: dict[str, Any] = {
        "input": "3.1234567891",
        "cached_input": "0.3000000007",
        "cache_write": "3.75",
        "output": "15.0000000003",
    }
    tokens = {"input": 123_457, "cached_input": 98_765_431, "cache_write": 7_919, "output": 1_000_003}
    await client.prices.set("m", **prices)

    with localcontext(prec=60):
        exact = sum((Decimal(prices[name]) * tokens[name] for name in prices), Decimal(0)) / 10**6
        assert (await _run(client, agent, "m", **tokens)).cost == exact.quantize(Decimal(10) ** -10, ROUND_HALF_UP)


async def test_what_decides_the_price(client: PrismaAgentClient, agent: Agent) -> None:
    """The model that the end names goes before the start's, a cost that is told before both; failures cost, too."""
    await client.prices.set("first", input=1, output=1)
    await client.prices.set("second", input=2, output=2)
    usage = TokenUsage(input=1_000_000)

    async def end(model: str | None, /, **options: Any) -> Decimal | None:
        started = await client.executions.start(agent.id, "task", model=model)
        return (await client.executions.finish(started.id, usage=usage, **options)).cost

    assert await end("first") == 1
    assert await end("first", model="second") == 2
    assert await end(None, model="second") == 2
    assert await end(None) is None
    assert await end("unknown") is None
    assert await end("first", cost=Decimal("0.5")) == Decimal("0.5")
    assert await end("first", cost=Decimal(0)) == 0
    failed = await client.executions.start(agent.id, "task", model="first")
    assert (await client.executions.fail(failed.id, "why", usage=usage)).cost == 1
    async with client.executions.track(agent.id, "task") as running:
        running.model = "second"
        running.usage.add(input=1_000_000)
    assert (await client.executions.get(running.id)).cost == 2


async def test_the_cost_takes_no_round_trip(
    roundtrips: Wire, database_url: str, client: PrismaAgentClient, agent: Agent
) -> None:
    """It is computed where the end is written."""
    async with PrismaAgentClient(roundtrips.url(database_url), "acme") as counted:
        await _run(counted, agent, "gpt-5", input=1)
        started = await counted.executions.start(agent.id, "task", model="gpt-5")
        with roundtrips.counting() as count:
            finished = await counted.executions.finish(started.id, usage=TokenUsage(input=1_000_000))

    assert (count.trips, finished.cost) == (1, Decimal("1.25"))


@pytest.mark.parametrize(
    ("cost", "kept"),
    [
        (Decimal("1e-999999"), 0),
        (1e-300, 0),
        ("0." + "1" * 20_000, Decimal("0.1111111111")),
        (Decimal("0.00000000005"), Decimal("0.0000000001")),
        (Decimal("9999999999.99999999994"), Decimal("9999999999.9999999999")),
    ],
)
async def test_a_cost_is_rounded_as_the_column_rounds(
    client: PrismaAgentClient, agent: Agent, cost: Any, kept: Decimal
) -> None:
    """Whatever it is, and whatever arithmetic the caller has set."""
    started = await client.executions.start(agent.id, 1)
    with localcontext() as context:
        context.prec = 3
        assert (await client.executions.finish(started.id, cost=cost)).cost == kept
        price = await client.prices.set("m", input=Decimal("1234567890.0123456789"), output=0)

    assert price.input == Decimal("1234567890.0123456789")


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"model": ""}, "model"),
        ({"model": "x" * 256}, "model"),
        ({"input": -1}, "input"),
        ({"input": True}, "input"),
        ({"input": "much"}, "input"),
        ({"output": float("nan")}, "output"),
        ({"output": float("inf")}, "output"),
        ({"output": 10**10}, "output"),
        ({"output": 10**5000}, "output"),
        ({"cached_input": "0.00000000001"}, "cached_input"),
        ({"input": "9999999999.99999999999999999999"}, "input"),
        ({"input": "9999999999.00000000000000000000000000001"}, "input"),
        ({"input": Decimal("1e-20000")}, "input"),
        ({"cache_write": [1]}, "cache_write"),
        ({"valid_from": "2025-01-01"}, "valid_from"),
        ({"valid_from": datetime.max}, "valid_from"),
    ],
)
async def test_what_is_no_price(client: PrismaAgentClient, arguments: dict[str, Any], field: str) -> None:
    """The field is named, and nothing is written."""
    with pytest.raises(InvalidInputError) as caught:
        await client.prices.set(**{"model": "m", "input": 1, "output": 1, **arguments})

    assert caught.value.field == field
    assert await client.prices.list("m") == []


async def test_deleting_takes_a_time(client: PrismaAgentClient) -> None:
    """Not whatever there is."""
    nothing: Any = None
    with pytest.raises(InvalidInputError, match="valid_from"):
        await client.prices.delete("m", nothing)


@given(st.integers(0, 10**9), st.integers(0, 10))
def test_a_float_is_what_it_is_printed_as(number: int, decimals: int) -> None:
    """Every price that a person writes down with up to ten decimals and 16 digits is taken as it stands."""
    written = Decimal(number).scaleb(-decimals)

    assert check_price(float(written), "input") == written
    assert check_price(str(written), "input") == written
    assert check_price(written, "input") == written
