"""Does with a page what its reader does: saves files, types commands, runs Python, and looks at the output."""

from __future__ import annotations

import ast
import asyncio
import configparser
import contextlib
import inspect
import io
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg
import yaml  # type: ignore[import-untyped]

from agentdb.config import Settings
from tests.acceptance.blocks import Block, is_as_shown
from tests.acceptance.exceptions import COMPILED, ELSEWHERE, UNREAD
from tests.acceptance.shell import REPOSITORY, Command, commands_of, look_at
from tests.integration.engine.generation import generate_in_place, make_ddl

_EXAMPLE_URL: Final = re.compile(r"postgresql://(\w+)[^\s'\"]*@db\.example[^\s'\"]*")
_KEY: Final = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY="  # in place of a "…": 32 bytes, so it can be a key as well


@dataclass
class Reader:
    """
    A reader of one page.

    Attributes:
        page: The page's name.
        files: Where files lie that are none of the reader's.
        urls: The page's database by who connects: "agents", "owner" of the tables, "administrator".
        environment: The variables of the reader's shell; PWD is where it stands.
        names: What the Python blocks share.
        other_python: Gives an interpreter for which a package of others is installed.
        rest: What comes below the block at hand.
        unshown: What was printed and is not shown yet.
    """

    page: str
    files: Path
    urls: Mapping[str, str]
    environment: dict[str, str]
    names: dict[str, Any]
    other_python: Callable[[str], str]
    rest: list[Block] = field(default_factory=list)
    unshown: str = ""

    async def read(self, blocks: Iterable[Block]) -> None:
        """
        Do all *blocks*, in order.

        Raises:
            AssertionError: What happened is not what the page shows, or there is a block that nothing runs.
        """
        self.rest = list(blocks)
        while self.rest:
            block = self.rest.pop(0)
            if (self.page, block.language) in UNREAD:
                continue
            try:
                assert block.language in RUNNERS, f"nothing runs a block of {block.language!r}"
                await RUNNERS[block.language](self, block)
                is_shown = self.rest and self.rest[0].language == "text"
                assert is_shown or not self.unshown, f"the page does not show what was printed:\n{self.unshown}"
            except BaseException as error:
                error.add_note(f"at {self.page}, line {block.line}: {block.heading}")
                raise

    async def text(self, block: Block) -> None:
        """Compare what the block above has printed with what the page shows."""
        printed, self.unshown = self.unshown, ""
        assert is_as_shown(block.code, printed, numbers_vary=block.numbers_vary), (
            f"the page shows\n{block.code}\nand this was printed:\n{printed}"
        )

    async def drawing(self, block: Block) -> None:
        """See that what has no language is no code that should have one."""
        assert not re.search(r"^\$ ", block.code, re.MULTILINE), "a block with commands is `console`"
        with contextlib.suppress(SyntaxError):
            compile(block.code, self.page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            raise AssertionError("a block of Python is `python`")

    async def python(self, block: Block) -> None:
        """Save it, run it as a program, or run it with the names of the blocks above."""
        exception = None if block.is_hidden else (self.page, block.heading)
        if exception in COMPILED:
            compile(block.code, self.page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        elif block.title:
            self._save(block)
            is_test = Path(block.title).name.startswith("test_")
            if not any(("pytest" if is_test else block.title) in later.code for later in self.rest):
                said = await self._run("pytest" if is_test else "python", block.title)
                self.unshown = "" if is_test else said
        elif "asyncio.run(" in block.code:
            requirement = ELSEWHERE.get(exception) if exception else None
            program = Path(self.environment["PWD"]) / "program.py"
            program.write_text(block.code, encoding="utf-8")
            self.unshown = await self._run(self.other_python(requirement) if requirement else "python", program.name)
            program.unlink()
        else:
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                code = compile(block.code, f"{self.page}, {block.heading}", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
                running = eval(code, self.names)
                if inspect.isawaitable(running):
                    await running
            self.unshown = printed.getvalue()

    async def commands(self, block: Block) -> None:
        """Type the commands into one shell. Its variables and its directory stay for the next block."""
        commands = list(commands_of(block.language, self._real(block.code)))
        for command in commands:
            if not command.is_run:
                look_at(command)
        typed = [command for command in commands if command.is_run]
        variables = self.files / "variables"
        script = "".join(f"{command.text}\nprintf '\\0%s\\0' $? | tee /dev/stderr\n" for command in typed)
        done = await self._start("bash", "-c", f"set -a\n{script}env -0 > '{variables}'")
        (*outs, _), errs = done.stdout.split("\0"), done.stderr.split("\0")
        for command, out, err, status in zip(typed, outs[::2], errs[::2], outs[1::2], strict=False):
            _judge(command, out, err, int(status), numbers_vary=block.numbers_vary)
        assert len(outs) == 2 * len(typed), f"the shell gave up: {done.stdout}{done.stderr}"
        self.environment = dict(entry.split("=", 1) for entry in variables.read_text().rstrip("\0").split("\0"))
        if self.rest and self.rest[0].language == "text":
            self.unshown = "".join(outs[::2])

    async def parsed(self, block: Block) -> None:
        """Read it as what it says it is."""
        PARSERS[block.language](block.code)
        self._save(block)

    async def dotenv(self, block: Block) -> None:
        """Load it as settings; every variable has to be one of ours."""
        text = block.code.replace("…", _KEY)
        (self.files / ".env").write_text(f"ORGANIZATION_ID=acme\n{text}", encoding="utf-8")
        Settings.load(environment={}, directory=self.files)
        known = re.findall(r"^# (\w+)=", (REPOSITORY / ".env.example").read_text(encoding="utf-8"), re.MULTILINE)
        assert set(re.findall(r"^(\w+)=", text, re.MULTILINE)) <= set(known)
        self._save(block)

    async def prisma(self, block: Block) -> None:
        """Make the tables of a schema and, if it has a generator, the package `prisma`."""
        schema = self.files / "schema.prisma"
        schema.write_text(block.code, encoding="utf-8")
        await self._execute("owner", make_ddl(schema))
        if "generator " in block.code:
            await asyncio.to_thread(generate_in_place, schema, Path(self.environment["PWD"]))
            for module in [name for name in sys.modules if name.partition(".")[0] == "prisma"]:
                del sys.modules[module]  # the one of the environment, which is not generated
        self._save(block)

    async def sql(self, block: Block) -> None:
        """Run it as the one that its first line names, else as the application. What the page shows is undone."""
        named = re.match(r"-- .*\b(owner|administrator)\b", block.code)
        await self._execute(named[1] if named else "agents", block.code, is_kept=block.is_hidden)

    async def _execute(self, who: str, sql: str, *, is_kept: bool = True) -> None:
        connection = await asyncpg.connect(self.urls[who])
        try:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute("SELECT set_config('agentdb.organization_id', 'acme', false)")
            await (connection.prepare if "$1" in sql else connection.execute)(sql)
            await (transaction.commit if is_kept else transaction.rollback)()
        finally:
            await connection.close()

    async def _run(self, *command: str) -> str:
        done = await self._start(*command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    async def _start(self, *command: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(
            subprocess.run, command, cwd=self.environment["PWD"], env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, encoding="utf-8", timeout=900, check=False,
        )  # fmt: skip

    def _save(self, block: Block) -> None:
        if block.title:
            path = Path(self.environment["PWD"]) / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._real(block.code), encoding="utf-8")

    def _real(self, text: str) -> str:
        return _EXAMPLE_URL.sub(lambda match: self.urls[match[1]], text)


def _judge(command: Command, out: str, err: str, status: int, *, numbers_vary: bool) -> None:
    assert status == command.exit_status, f"{command.text}: exit status {status}\n{out}{err}"
    printed = (out, err + out, out + err)  # a page may leave out what goes to stderr
    assert not command.shown or any(is_as_shown(command.shown, text, numbers_vary=numbers_vary) for text in printed), (
        f"$ {command.text}\nThe page shows\n{command.shown}\nand this was printed:\n{err}{out}"
    )


PARSERS: Final[Mapping[str, Callable[[str], object]]] = {
    "ini": lambda text: configparser.ConfigParser().read_string(text),
    "json": json.loads,
    "toml": tomllib.loads,
    "yaml": yaml.safe_load,
}
RUNNERS: Final[Mapping[str, Callable[[Reader, Block], Coroutine[Any, Any, None]]]] = {
    "": Reader.drawing,
    "bash": Reader.commands,
    "console": Reader.commands,
    "dotenv": Reader.dotenv,
    "prisma": Reader.prisma,
    "python": Reader.python,
    "sh": Reader.commands,
    "sql": Reader.sql,
    "text": Reader.text,
    **dict.fromkeys(PARSERS, Reader.parsed),
}
