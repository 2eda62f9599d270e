"""`agentdb rotate-keys`: sealing anew with the newest key what another one has sealed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from agentdb.cli.options import AsJson, DryRun
from agentdb.cli.output import say

if TYPE_CHECKING:
    from agentdb.client.encryption.rotation import Rotated

__all__ = ["rotate_keys"]

_FAILED = 1


def rotate_keys(
    dry_run: DryRun = False,
    encrypt_plain: Annotated[
        bool,
        typer.Option(
            "--encrypt-plain",
            help="Encrypt also what was stored as plain text: sensitive memories, and what AGENTDB_ENCRYPT names.",
        ),
    ] = False,
    batch_size: Annotated[int, typer.Option(metavar="N", help="Rows per step, 1 to 10,000.")] = 500,
    as_json: AsJson = False,
) -> None:
    """
    Encrypt anew what an older key has encrypted.

    The newest key is the first of AGENTDB_ENCRYPTION_KEYS. Readers and writers go on meanwhile. Goes step by step;
    broken off and run again, it does what is left. Names the keys that are still in use: one that is not named may be
    removed. Exit status 1 while another key than the newest is needed, or a row stays as it is.

    Examples:
        agentdb rotate-keys --dry-run
        agentdb rotate-keys --encrypt-plain
    """
    from agentdb.cli.output import print_json

    done = asyncio.run(_rotate(dry_run, encrypt_plain, batch_size))
    if as_json:
        print_json({**done._asdict(), "dry_run": dry_run, "is_complete": done.is_complete})
    else:
        _print(done, dry_run=dry_run)
    for failure in done.failures:
        say(f"agentdb: {failure}", err=True)
    if not dry_run and (done.failed or not done.is_complete):
        raise typer.Exit(_FAILED)


async def _rotate(dry_run: bool, encrypt_plain: bool, batch_size: int) -> Rotated:
    from agentdb import PrismaAgentClient
    from agentdb.cli.bar import Bar

    async with PrismaAgentClient() as client:
        with Bar() as bar:
            return await client.rotate_keys(
                batch_size=batch_size,
                encrypt_plain=encrypt_plain,
                dry_run=dry_run,
                progress=lambda done, total: bar.show("rows", done, total),
            )


def _print(done: Rotated, *, dry_run: bool) -> None:
    verb = "would encrypt" if dry_run else "encrypted"
    for table, count in done.rows.items():
        typer.echo(f"{table}: {verb} {_rows(count)} with the key {done.key_id!r}")
    for key_id, count in done.in_use.items():
        typer.echo(f"the key {key_id!r} is in use by {_rows(count)}")
    if done.failed:
        typer.echo(f"left as it is because it does not open: {_rows(done.failed)}")


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
