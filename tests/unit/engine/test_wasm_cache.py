from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import wasmtime

from agentdb.engine import wasm_cache
from agentdb.engine.wasm_cache import cache_directory, load_module

SOURCE = b'(module (func (export "answer") (result i32) (i32.const 42)))'
OTHER_SOURCE = SOURCE.replace(b"42", b"43")
HAS_MODES = sys.platform != "win32"


@pytest.fixture
def engine() -> wasmtime.Engine:
    return wasmtime.Engine()


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "parent" / "cache"
    monkeypatch.setenv("AGENTDB_CACHE_DIR", str(path))
    return path


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The sources that were compiled rather than read from the cache."""
    compiled: list[bytes] = []
    original = wasmtime.Module.__init__

    def record(self: wasmtime.Module, engine: wasmtime.Engine, source: bytes) -> None:
        compiled.append(source)
        original(self, engine, source)

    monkeypatch.setattr(wasmtime.Module, "__init__", record)
    return compiled


def answer(module: wasmtime.Module, engine: wasmtime.Engine) -> object:
    store = wasmtime.Store(engine)
    function = wasmtime.Instance(store, module, []).exports(store)["answer"]
    assert isinstance(function, wasmtime.Func)
    return function(store)


def load(engine: wasmtime.Engine, source: bytes = SOURCE) -> object:
    return answer(load_module(engine, source, features=()), engine)


def cached(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


class TestCache:
    def test_second_load_compiles_nothing(
        self, engine: wasmtime.Engine, directory: Path, compilations: list[bytes]
    ) -> None:
        """A module is compiled once; later it comes from the file and works the same."""
        assert [load(engine), load(engine), load(wasmtime.Engine())] == [42, 42, 42]
        assert compilations == [SOURCE]
        assert len(cached(directory)) == 1

    @pytest.mark.skipif(not HAS_MODES, reason="Windows has no modes")
    def test_nobody_else_may_write(self, engine: wasmtime.Engine, directory: Path) -> None:
        """The cache's directory and files belong to the user alone."""
        load(engine)
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert [stat.S_IMODE(path.stat().st_mode) for path in cached(directory)] == [0o600]

    def test_key_is_the_source(self, engine: wasmtime.Engine, directory: Path) -> None:
        """Another module has another file."""
        assert [load(engine), load(engine, OTHER_SOURCE)] == [42, 43]
        assert len(cached(directory)) == 2

    def test_key_is_the_configuration(
        self, engine: wasmtime.Engine, directory: Path, compilations: list[bytes]
    ) -> None:
        """An engine with other features compiles for itself."""
        config = wasmtime.Config()
        config.wasm_multi_memory = True
        other = wasmtime.Engine(config)
        load(engine)
        assert answer(load_module(other, SOURCE, features=["wasm_multi_memory"]), other) == 42
        assert len(compilations) == len(cached(directory)) == 2

    def test_key_is_the_version(
        self, engine: wasmtime.Engine, directory: Path, compilations: list[bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What one version of wasmtime compiled is not read by another."""
        load(engine)
        monkeypatch.setattr(wasm_cache, "_wasmtime_version", lambda: "0.0.1")
        assert load(engine) == 42
        assert len(compilations) == len(cached(directory)) == 2


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


class TestDamage:
    @pytest.mark.parametrize("damage", [truncate, empty, flip_a_bit])
    def test_damaged_file(
        self, engine: wasmtime.Engine, directory: Path, compilations: list[bytes], damage: Callable[[Path], None]
    ) -> None:
        """A damaged file is as good as none: the module is compiled again, and the file is whole again."""
        load(engine)
        damage(cached(directory)[0])
        assert [load(engine), load(engine)] == [42, 42]
        assert compilations == [SOURCE, SOURCE]

    def test_file_that_cannot_be_read(self, engine: wasmtime.Engine, directory: Path) -> None:
        """Where the file should be is something else: the module is compiled."""
        load(engine)
        path = cached(directory)[0]
        path.unlink()
        path.mkdir()
        assert load(engine) == 42

    def test_foreign_files(self, engine: wasmtime.Engine, directory: Path, compilations: list[bytes]) -> None:
        """Files that are whole but refused by wasmtime are passed over, in whatever order they are found."""
        load(engine)
        key = cached(directory)[0].name.split("-")[0]
        cached(directory)[0].unlink()
        for number in range(5):
            wasm_cache._write(directory, key, b"compiled for processor %d" % number)
        assert [load(engine), load(engine)] == [42, 42]
        assert compilations == [SOURCE, SOURCE]

    @pytest.mark.skipif(not HAS_MODES, reason="Windows has no modes")
    @pytest.mark.parametrize("mode", [0o620, 0o602])
    def test_file_others_may_write(
        self, engine: wasmtime.Engine, directory: Path, compilations: list[bytes], mode: int
    ) -> None:
        """A file that somebody else could have written is not run."""
        load(engine)
        cached(directory)[0].chmod(mode)
        assert load(engine) == 42
        assert compilations == [SOURCE, SOURCE]

    @pytest.mark.skipif(not HAS_MODES, reason="Windows has no modes")
    def test_directory_others_may_write(
        self, engine: wasmtime.Engine, directory: Path, compilations: list[bytes]
    ) -> None:
        """A directory that somebody else could write to is neither read nor written."""
        directory.mkdir(parents=True)
        directory.chmod(0o777)
        assert [load(engine), load(engine)] == [42, 42]
        assert compilations == [SOURCE, SOURCE]
        assert cached(directory) == []

    @pytest.mark.skipif(not HAS_MODES, reason="Windows has no owners")
    def test_directory_of_somebody_else(
        self, engine: wasmtime.Engine, directory: Path, compilations: list[bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What another user has put there is not run, unless that is root."""
        load(engine)
        owner = directory.stat().st_uid
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
        assert load(engine) == 42
        assert len(compilations) == (1 if owner == 0 else 2)

    @pytest.mark.skipif(not HAS_MODES, reason="Windows has no links for everybody")
    def test_link_is_not_followed(self, engine: wasmtime.Engine, directory: Path, compilations: list[bytes]) -> None:
        """A link in the cache is not one of our files, wherever it leads."""
        load(engine)
        path = cached(directory)[0]
        path.rename(directory.parent / path.name)
        path.symlink_to(directory.parent / path.name)
        assert load(engine) == 42
        assert compilations == [SOURCE, SOURCE]


class TestNoCache:
    @pytest.mark.parametrize("place", ["file/cache", "file"])
    def test_directory_cannot_be_made(
        self, engine: wasmtime.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
    ) -> None:
        """Without a directory to write to, every process compiles for itself."""
        (tmp_path / "file").touch()
        monkeypatch.setenv("AGENTDB_CACHE_DIR", str(tmp_path / place))
        assert load(engine) == 42

    def test_no_home(self, engine: wasmtime.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        """A user without a home has no cache."""

        def no_home() -> Path:
            raise RuntimeError("Could not determine home directory.")

        for name in ("AGENTDB_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(Path, "home", no_home)
        assert load(engine) == 42

    def test_full_disk(self, engine: wasmtime.Engine, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What cannot be written is not there, and leaves nothing behind."""

        def fail(source: str, target: str) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "replace", fail)
        assert load(engine) == 42
        assert cached(directory) == []


class TestProcesses:
    def test_several_start_at_once(self, directory: Path) -> None:
        """Processes that all find the cache empty all work, and leave one whole file."""
        code = f"""
            import wasmtime
            from agentdb.engine.wasm_cache import load_module
            engine = wasmtime.Engine()
            module = load_module(engine, {SOURCE!r}, features=())
            store = wasmtime.Store(engine)
            print(wasmtime.Instance(store, module, []).exports(store)["answer"](store))
        """
        code = "\n".join(line.strip() for line in code.splitlines())
        processes = [
            subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(4)
        ]
        assert [process.communicate(timeout=60)[0] for process in processes] == ["42\n"] * 4
        assert [path.suffix for path in cached(directory)] == [".cwasm"]


class TestCacheDirectory:
    def test_own_variable_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """AGENTDB_CACHE_DIR names the directory itself, and "~" in it is home."""
        monkeypatch.setenv("XDG_CACHE_HOME", "/shared")
        monkeypatch.setenv("AGENTDB_CACHE_DIR", "~/own")
        assert cache_directory() == Path.home() / "own"

    def test_shared_variable_second(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """XDG_CACHE_HOME is shared with others, so we take a directory in it."""
        monkeypatch.delenv("AGENTDB_CACHE_DIR", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", "/shared")
        assert cache_directory() == Path("/shared/agentdb")

    @pytest.mark.parametrize(
        ("platform", "expected"),
        [
            ("linux", ".cache/agentdb"),
            ("darwin", "Library/Caches/agentdb"),
            ("win32", "AppData/Local/agentdb/Cache"),
        ],
    )
    def test_platforms(self, monkeypatch: pytest.MonkeyPatch, platform: str, expected: str) -> None:
        """Without a variable, each platform has its own place in the home directory."""
        for name in ("AGENTDB_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
            monkeypatch.setenv(name, "")
        monkeypatch.setattr(sys, "platform", platform)
        assert cache_directory() == Path.home() / expected
