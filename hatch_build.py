"""
Build hook: makes the generated part of agentdb, then lets hatchling pack it.

The generated part is `src/agentdb/prisma_client/`: the Prisma client for prisma/schema.prisma, and beside it Prisma's
query compiler (`query_compiler.wasm`). Making it needs Node and npm, and no network beyond the npm registry. It is made
again only when something that it is made from has changed, so a build from the sdist, which carries it, needs no Node.

`python hatch_build.py` does the same for a checkout, and installs the Node tools of prisma/package.json.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
PRISMA = ROOT / "prisma"
CLIENT = ROOT / "src" / "agentdb" / "prisma_client"
STAMP = CLIENT / "generated.sha256"
NODE_MODULES = PRISMA / "node_modules"
NODE_STAMP = NODE_MODULES / "installed.sha256"
COMPILER = NODE_MODULES / "@prisma" / "query-compiler-wasm" / "postgresql" / "query_compiler_fast_bg.wasm"

# The engine that CLI 5.17.0 asks for. It calls `--version`, compares the answer with this, and then downloads nothing.
ENGINE_VERSION = "query-engine 393aa359c9ad4a4bb28630fb5613f9c281cde053"

# What the generator writes into client.py about the machine that it ran on; nothing of ours reads any of it.
MACHINE_PATHS = [
    (r"^SCHEMA_PATH = .*$", "SCHEMA_PATH = Path(__file__).parent.joinpath('schema.prisma')"),
    (r"^BINARY_PATHS = .*$", "BINARY_PATHS = BinaryPaths()"),
    (r"'source_file_path': '.*'", "'source_file_path': 'schema.prisma'"),
]


class BuildError(Exception):
    """The generated part cannot be made; the message says what to do."""


class PrismaBuildHook(BuildHookInterface):  # type: ignore[type-arg]  # its parameter, the builder's config, is of no use here
    """Hatchling's way in: what to install first, and what to do before packing."""

    def dependencies(self) -> list[str]:
        """Return the generator's requirement, or nothing when there is nothing to generate."""
        return [] if is_fresh() else [f"prisma=={generator_version()}"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make what is missing; *version* is "editable" or "standard"."""
        try:
            ensure_generated()
        except BuildError as error:
            self.app.abort(f"error: {error}")
        # An editable installation reads them from the checkout (shipped.py), so that a new migration is there at once.
        if self.target_name == "wheel" and version != "editable":
            build_data["force_include"] |= {
                str(PRISMA / "schema.prisma"): "agentdb/_prisma/schema.prisma",
                str(PRISMA / "migrations"): "agentdb/_prisma/migrations",
                str(ROOT / ".env.example"): "agentdb/_project/env.example",
            }


def ensure_generated() -> bool:
    """Generate the client unless it is there and fresh; return whether it had to be done."""
    if is_fresh():
        return False
    ensure_node_tools()
    generate()
    return True


def ensure_node_tools() -> bool:
    """Install prisma/node_modules unless they match the lock file; return whether it had to be done."""
    wanted = digest(PRISMA / "package-lock.json")
    if read_text(NODE_STAMP) == wanted:
        return False
    run([find_tool("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=PRISMA)
    NODE_STAMP.write_text(wanted)
    return True


def is_fresh() -> bool:
    """Tell whether the generated files were made from the inputs as they are now."""
    return read_text(STAMP) == inputs_digest() and (CLIENT / "query_compiler.wasm").exists()


def inputs_digest() -> str:
    """Return a digest of all that the generated files depend on."""
    inputs = [PRISMA / "schema.prisma", PRISMA / "package-lock.json", Path(__file__)]
    return digest(*inputs, extra=generator_version())


def generator_version() -> str:
    """Return the version of the `prisma` package that pyproject.toml pins: the generator, and the runtime it is for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    dependencies: list[str] = project["dependencies"]
    return next(name.removeprefix("prisma==") for name in dependencies if name.startswith("prisma=="))


def generate() -> None:
    """Generate the client in a temporary place, clean it, and put it where it belongs in one step."""
    check_generator()
    # Beside its final place: then the last step is a rename, and a failed build leaves the old client as it was.
    with tempfile.TemporaryDirectory(prefix=".generated-", dir=ROOT) as name:
        workspace = Path(name)
        client = run_generator(workspace)
        for cache in list(client.rglob("__pycache__")):
            shutil.rmtree(cache)
        remove_command_line(client)
        remove_machine_paths(client, workspace)
        shutil.copyfile(COMPILER, client / "query_compiler.wasm")
        (client / STAMP.name).write_text(inputs_digest())
        if CLIENT.exists():
            CLIENT.rename(workspace / "replaced")
        client.rename(CLIENT)


def check_generator() -> None:
    """Refuse to generate with another version than the one that the client will run with."""
    wanted = generator_version()
    try:
        found = installed_version("prisma")
    except PackageNotFoundError:
        found = "none"
    if found != wanted:
        raise BuildError(f"generating the client needs prisma=={wanted}, found {found}: pip install prisma=={wanted}")


def run_generator(workspace: Path) -> Path:
    """Run Prisma's `generate` on a copy of the schema in *workspace*; return the folder of the client."""
    # The schema's `output` is relative to the schema, so a copy at the same depth writes inside the workspace.
    schema = workspace / "prisma" / "schema.prisma"
    schema.parent.mkdir()
    shutil.copyfile(PRISMA / "schema.prisma", schema)
    engine = write_script(workspace / "engine", f'echo "{ENGINE_VERSION}"')
    # The schema names the generator `prisma-client-py`; this makes it the one of this interpreter, wherever
    # the build environment keeps its scripts. -P: the checkout's own `prisma` folder is not the package.
    write_script(workspace / "prisma-client-py", f'exec "{sys.executable}" -P -m prisma "$@"')
    environment = os.environ | {
        "PATH": os.pathsep.join([str(workspace), str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PRISMA_QUERY_ENGINE_BINARY": str(engine),
        "PRISMA_QUERY_ENGINE_LIBRARY": str(engine),
        "PRISMA_SCHEMA_ENGINE_BINARY": str(engine),
        "PRISMA_HIDE_UPDATE_MESSAGE": "1",
        "CHECKPOINT_DISABLE": "1",
    }
    cli = NODE_MODULES / "prisma" / "build" / "index.js"
    run([find_tool("node"), str(cli), "generate", "--schema", str(schema)], cwd=workspace, env=environment)
    return workspace / "src" / "agentdb" / "prisma_client"


def remove_command_line(client: Path) -> None:
    """Take out the generator's own command line, which comes with its runtime and which nobody runs in a client."""
    shutil.rmtree(client / "cli")
    (client / "__main__.py").unlink()


def remove_machine_paths(client: Path, workspace: Path) -> None:
    """Take the build machine's paths out of the generated code, and make sure that none is left."""
    target = client / "client.py"
    text = target.read_text(encoding="utf-8")
    for pattern, replacement in MACHINE_PATHS:
        text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
        if count != 1:
            raise BuildError(
                f"{target.name} should match {pattern!r} once, not {count} times: has the generator changed?"
            )
    target.write_text(text, encoding="utf-8")
    for path in client.rglob("*"):
        if path.is_file() and any(str(place).encode() in path.read_bytes() for place in (workspace, ROOT)):
            raise BuildError(f"{path.relative_to(client)} names a folder of this machine")


def write_script(path: Path, line: str) -> Path:
    """Write an executable shell script of one *line*."""
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path


def find_tool(name: str) -> str:
    """Return the path of `node` or `npm`."""
    found = shutil.which(name)
    if found is None:
        raise BuildError(
            f"building agentdb from a checkout needs {name}, which is not on PATH. "
            "Install Node.js 20 or later with npm, or install agentdb from a wheel or an sdist, which need neither."
        )
    return found


def run(command: list[str], *, cwd: Path, env: dict[str, str] | None = None) -> None:
    """Run *command*; show what it printed only when it fails."""
    done = subprocess.run(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise BuildError(f"{' '.join(command)} failed with exit code {done.returncode}:\n{done.stdout.strip()}")


def digest(*paths: Path, extra: str = "") -> str:
    """Return a digest of the contents of *paths* and of *extra*."""
    whole = hashlib.sha256(extra.encode())
    for path in paths:
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def read_text(path: Path) -> str | None:
    """Return what *path* holds, None if there is no such file."""
    return path.read_text() if path.exists() else None


if __name__ == "__main__":
    try:
        done = [ensure_node_tools() and "prisma/node_modules", ensure_generated() and "src/agentdb/prisma_client"]
    except BuildError as error:
        sys.exit(f"error: {error}")
    sys.stderr.write("".join(f"made {what}\n" for what in done if what))
