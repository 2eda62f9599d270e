"""The court: has both sides carry out a program, and says where they differ."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from types import ModuleType
from typing import Any

from agentdb.engine import with_engine
from agentdb.engine.package import Package
from agentdb.engine.request import Call as EngineCall
from agentdb.engine.request import build_request
from agentdb.engine.schema import Datamodel
from tests.oracle.comparison import answers_difference, tables_difference
from tests.oracle.database import Database
from tests.oracle.interpreter import Interpreter
from tests.oracle.programs import Call, Program

PATIENCE_SECONDS = 60

UNKNOWN = "no code"
"""The code of an error of Prisma's interpreter that has none: it did not foresee it."""

_PRISMA_CODE = re.compile(r"P\d{4}")

SAME_ERRORS = {"P2023": ("P2023", "P2007", "P2039")}
"""
Our code -> those of Prisma 7 that mean the same.

A text that is no UUID, address or bits is P2023 with us, as with the 5.17 engine, and is not sent; Prisma 7 sends it.
"""

UNSENT_ERRORS = ("P2020", "P2023")
"""
Ours of values that cannot be sent: numbers out of range, texts that are no UUID. As with the 5.17 engine, a transaction
goes on after one; Prisma 7 has sent the value, and the server has given the transaction up.
"""

UNSENT_TEXTS = ("invalid byte sequence", "invalid input syntax")
"""What the server says to a text that cannot be. Prisma sends it even in a query for the children of no parents."""


@dataclass(frozen=True)
class Outcome:
    """What came of one call: its result, or else the code and words of an error."""

    result: Any = None
    code: str | None = None
    words: str = ""

    @property
    def is_error(self) -> bool:
        """Whether the call failed."""
        return self.code is not None

    def __str__(self) -> str:
        return f"{self.code}: {self.words}" if self.is_error else repr(self.result)


class _DictatedError(Exception):
    """Carries a call out of the generated client instead of running it."""

    def __init__(self, call: EngineCall) -> None:
        super().__init__()
        self.call = call


class Court:
    """
    Two clients of one schema: ours, and Prisma's. Use it as an asynchronous context manager.

    Attributes:
        methods: How many calls were compared, by method.
        errors: How many of them both sides refused, by code.
        refused: How many programs the client refused before there was a request, by error.
        faults: How many calls Prisma's interpreter did not survive, by its words.
    """

    def __init__(
        self, package: ModuleType, datamodel: Datamodel, interpreter: Interpreter, ours: Database, theirs: Database
    ) -> None:
        self.methods: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self._dialect = Package.of(package.Prisma).dialect
        self._datamodel = datamodel
        self._interpreter = interpreter
        self._ours, self._theirs = ours, theirs
        self._heard: list[Outcome] = []
        recording = _recording(with_engine(package.Prisma), self._heard)
        self._client = recording(datasource={"url": ours.url}, use_dotenv=False)
        self._dictating = _dictating(package.Prisma)(datasource={"url": ours.url}, use_dotenv=False)
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Court:
        for resource in (self._interpreter, self._ours, self._theirs, self._client):
            await self._exits.enter_async_context(resource)
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._exits.aclose()

    async def judge(self, program: Program) -> str | None:
        """Have both sides carry out *program*; return where they differ, or None."""
        texts: list[str] = []
        for call in program.calls:
            try:
                texts.append(await self._dictate(call))
            except Exception as error:
                return await self._judge_refused(call, error)
        ours, theirs = await asyncio.gather(self._run_ours(program), self._run_theirs(program, texts))
        unsent = [place for place, outcome in enumerate(ours) if outcome.code in UNSENT_ERRORS]
        is_given_up = program.mode == "transaction" and bool(unsent)
        if is_given_up:
            ours, theirs = ours[: unsent[0] + 1], theirs[: unsent[0] + 1]
        difference = self._compare(program, ours, theirs)
        if program.writes:
            in_tables = await self._compare_tables()
            difference = difference or (None if is_given_up else in_tables)
        if difference is None:
            return None
        requests = "\n".join(f"prisma was sent  {text}" for text in texts)
        return f"{program}\n{difference}\n{requests}"

    async def _judge_refused(self, call: Call, reason: Exception) -> str | None:
        """*call* is refused before there is a request to send to Prisma: our client must give the same reason."""
        self.refused[type(reason).__name__] += 1
        expected = _failed(reason)
        ours = (await self._run_ours(Program((call,))))[-1]
        return None if ours.code == expected.code else f"{call}\n  ours:   {ours}\n  client: {expected}"

    # -- both sides

    async def _dictate(self, call: Call) -> str:
        """Return the request of *call* with every value in its text."""
        try:
            await _method(self._dictating, call)
        except _DictatedError as dictated:
            return build_request(dictated.call, self._datamodel, self._dialect, literal=True).text
        raise AssertionError("the dictating client always raises")

    async def _run_ours(self, program: Program) -> list[Outcome]:
        self._heard.clear()
        outcomes: list[Outcome] = []
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                match program.mode:
                    case "alone":
                        outcomes += [await self._outcome(self._client, call) for call in program.calls]
                    case "transaction":
                        async with self._client.tx(timeout=timedelta(seconds=PATIENCE_SECONDS)) as transaction:
                            outcomes += [await self._outcome(transaction, call) for call in program.calls]
                    case "batch":
                        outcomes.append(await self._batch(program.calls))
        except Exception as error:
            # A transaction in which a statement had failed cannot be committed; anything else is unexpected.
            if not any(outcome.is_error for outcome in outcomes):
                outcomes.append(_failed(error))
        return outcomes

    async def _outcome(self, client: Any, call: Call) -> Outcome:
        """Make *call*; what the engine answered counts, and that the client can read it."""
        try:
            await _method(client, call)
        except Exception as error:
            heard = self._heard.pop() if self._heard else _failed(error)
            # The client makes no model of nothing; that Prisma answers so too is for the comparison to see.
            return heard if heard.is_error or not heard.result else _failed(error)
        return self._heard.pop()

    async def _batch(self, calls: Sequence[Call]) -> Outcome:
        batch = self._client.batch_()
        for call in calls:
            getattr(getattr(batch, call.model.lower()), call.method)(**call.arguments)
        try:
            await batch.commit()
        except Exception as error:
            return _failed(error)
        return Outcome()

    async def _run_theirs(self, program: Program, texts: Sequence[str]) -> list[Outcome]:
        match program.mode:
            case "alone":
                return [_read(await self._interpreter.ask(text)) for text in texts]
            case "transaction":
                return [_read(answer) for answer in await self._interpreter.ask_together(texts, until_error=False)]
            case "batch":
                answers = [_read(answer) for answer in await self._interpreter.ask_together(texts, until_error=True)]
                return [answers[-1] if answers[-1].is_error else Outcome()]

    # -- verdicts

    def _compare(self, program: Program, ours: Sequence[Outcome], theirs: Sequence[Outcome]) -> str | None:
        for call in program.calls:
            self.methods[call.method] += 1
        if len(ours) != len(theirs):
            return f"ours broke\n  {ours[-1]}"
        for call, mine, other in zip(program.calls, ours, theirs, strict=False):  # a batch has one outcome
            difference = self._compare_outcomes(call, mine, other)
            if difference is not None:
                return difference
        return None

    def _compare_outcomes(self, call: Call, ours: Outcome, theirs: Outcome) -> str | None:
        if ours.is_error or theirs.is_error:
            if ours.is_error and theirs.code in SAME_ERRORS.get(str(ours.code), (ours.code,)):
                self.errors[str(ours.code)] += 1
                return None
            is_included = call.arguments.get("include") is not None
            if is_included and not ours.is_error and any(text in theirs.words for text in UNSENT_TEXTS):
                return None
            if theirs.code == UNKNOWN and (not ours.is_error or _PRISMA_CODE.fullmatch(str(ours.code))):
                self.faults[theirs.words.splitlines()[0][:100]] += 1
                return None
            return f"{call.method} came to another end\n  ours:   {ours}\n  prisma: {theirs}"
        model = self._datamodel.models[call.model]
        return answers_difference(ours.result, theirs.result, model, self._datamodel, call.bags)

    async def _compare_tables(self) -> str | None:
        ours, theirs = await asyncio.gather(self._ours.state(), self._theirs.state())
        await asyncio.gather(self._ours.restore(ours), self._theirs.restore(theirs))
        return tables_difference(ours, theirs)


def _method(client: Any, call: Call) -> Any:
    return getattr(getattr(client, call.model.lower()), call.method)(**call.arguments)


def _recording(client_class: Any, heard: list[Outcome]) -> Any:
    """Return *client_class*, noting what the engine answers before the client makes models of it."""

    class Recording(client_class):  # type: ignore[misc]
        async def _execute(self, **call: Any) -> Any:
            try:
                answer = await super()._execute(**call)
            except Exception as error:
                heard.append(_failed(error))
                raise
            heard.append(Outcome(answer["data"]["result"]))
            return answer

    return Recording


def _dictating(client_class: Any) -> Any:
    """Return *client_class*, which runs nothing but tells what it would."""

    class Dictating(client_class):  # type: ignore[misc]
        async def _execute(
            self, *, method: str, arguments: Any, model: type | None = None, root_selection: Any = None
        ) -> Any:
            raise _DictatedError(EngineCall(method, arguments, model, root_selection))

    return Dictating


def _failed(error: Exception) -> Outcome:
    return Outcome(code=getattr(error, "code", None) or type(error).__name__, words=str(error))


def _read(answer: Any) -> Outcome:
    """Read an answer of oracle.mjs."""
    if "ok" in answer:
        return Outcome(answer["ok"])
    error = answer["error"]
    return Outcome(code=error.get("code") or UNKNOWN, words=error["message"])
