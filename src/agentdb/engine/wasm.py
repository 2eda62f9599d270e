"""
Prisma's query compiler, in this process: a request in JSON goes in, a plan comes out.

The compiler is Rust that Prisma ships as WebAssembly for JavaScript. wasmtime runs it, and `shim.wat` plays JavaScript.
wasmtime is imported when the first compiler is made, because importing it takes 40 ms.
"""

from __future__ import annotations

import atexit
import functools
import json
import struct
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from agentdb.engine.wasm_cache import load_module
from agentdb.engine.wasm_imports import CompilerImport, compiler_imports, write_trampolines

if TYPE_CHECKING:
    import wasmtime

# What shim.wat needs beyond wasmtime's defaults.
_FEATURES = ("wasm_exceptions", "wasm_function_references", "wasm_gc", "wasm_multi_memory")

# WebAssembly's memory never shrinks, so an instance that has grown by more than this is thrown away. That takes a
# create_many of some 10,000 rows, which compiles for a second; a new instance costs 2 ms.
_MOST_GROWTH_BYTES = 32 << 20

_PAGE_BYTES = 1 << 16

# Outcomes of the shim's functions, beside success.
_ERROR = 1
_GIVEN_UP = 2


class CompileError(Exception):
    """
    The compiler refused a request.

    Attributes:
        message: In Prisma's words.
        code: Prisma's code, such as P2009; None for a request that is no valid request at all.
        meta: Details that depend on the code; None when there are none.
    """

    def __init__(self, message: str, code: str | None = None, meta: dict[str, object] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.meta = meta


class CompilerTrapError(Exception):
    """The compiler crashed on this request; the next one gets a fresh instance."""


class QueryCompiler:
    """
    The compiler for one schema.

    Safe to share between threads, which take turns. Compiling waits for nothing but the processor: 0.1 ms for a simple
    read, 0.5 ms for a nested write, some 50 us for each row of a create_many.
    """

    def __init__(
        self,
        datamodel: str,
        *,
        schema_name: str = "public",
        max_bind_values: int | None = None,
        wasm_path: Path | None = None,
    ) -> None:
        """
        Load the compiler: 20 ms, or 2 s when this machine has not compiled this release to machine code before.

        Args:
            datamodel: The text of a schema.prisma. It is not validated: the compiler leaves out what it cannot read.
            schema_name: The PostgreSQL schema that qualifies every table in a plan.
            max_bind_values: Most parameters of one statement; None for PostgreSQL's own limit.
            wasm_path: The compiler; None for the one in the package.

        Raises:
            CompileError: The compiler refused *datamodel*.
            CompilerTrapError: The compiler crashed on *datamodel*.
            UnsupportedImportError: The file at *wasm_path* is of a release that this host does not know.
        """
        connection_info: dict[str, object] = {"schemaName": schema_name, "supportsRelationJoins": True}
        if max_bind_values is not None:
            connection_info["maxBindValues"] = max_bind_values
        self._parameters = {"datamodel": datamodel, "provider": "postgres", "connectionInfo": connection_info}
        self._program = _find_program(wasm_path)
        self._lock = threading.Lock()
        self._instance: _Instance | None = self._open()
        _compilers.add(self)

    def compile(self, request: str) -> dict[str, Any]:
        """
        Return the plan for *request*.

        Args:
            request: One request of Prisma's JSON protocol: modelName, action and query.

        Returns:
            The plan's root node, as Prisma's own interpreter gets it. Where that has undefined, the key is absent.

        Raises:
            CompileError: The compiler refused the request.
            CompilerTrapError: The compiler crashed, as it does for an unknown action.
        """
        data = request.encode()
        with self._lock:
            if self._instance is None:
                self._instance = self._open()
            try:
                plan = self._instance.compile(data)
            except CompilerTrapError:
                self._drop_instance()
                raise
            if self._instance.growth_bytes() > _MOST_GROWTH_BYTES:
                self._drop_instance()
        return cast("dict[str, Any]", plan)

    def close(self) -> None:
        """Free the memory. A later `compile()` takes new."""
        with self._lock:
            self._drop_instance()

    def _drop_instance(self) -> None:
        if self._instance is not None:
            self._instance.close()
            self._instance = None

    def _open(self) -> _Instance:
        instance = _Instance(self._program)
        instance.open(self._parameters)
        return instance


@dataclass(frozen=True, slots=True)
class _Program:
    """The three modules as machine code: what all compilers of all threads share."""

    engine: wasmtime.Engine
    compiler: wasmtime.Module
    shim: wasmtime.Module
    trampolines: wasmtime.Module
    imports: list[CompilerImport]

    def close(self) -> None:
        for owner in (self.trampolines, self.shim, self.compiler, self.engine):
            owner.close()


_programs: dict[Path | None, _Program] = {}
_programs_lock = threading.Lock()
_compilers: weakref.WeakSet[QueryCompiler] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Free what wasmtime holds while Python is whole; what is left to the interpreter's last moments prints errors."""
    for compiler in list(_compilers):
        compiler.close()
    with _programs_lock:
        for program in _programs.values():
            program.close()


def _find_program(wasm_path: Path | None) -> _Program:
    with _programs_lock:
        if wasm_path not in _programs:
            _programs[wasm_path] = _load_program(wasm_path)
        return _programs[wasm_path]


def _load_program(wasm_path: Path | None) -> _Program:
    from importlib import resources

    import wasmtime

    config = wasmtime.Config()
    for feature in _FEATURES:
        setattr(config, feature, True)
    engine = wasmtime.Engine(config)
    load = functools.partial(load_module, engine, features=_FEATURES)
    package = resources.files("agentdb")
    compiler = load((wasm_path or package / "prisma_client" / "query_compiler.wasm").read_bytes())
    imports = compiler_imports(compiler)
    return _Program(
        engine=engine,
        compiler=compiler,
        shim=load((package / "engine" / "shim.wat").read_bytes()),
        trampolines=load(write_trampolines(imports).encode()),
        imports=imports,
    )


class _Instance:
    """One running compiler with its memory; of no further use after a trap."""

    def __init__(self, program: _Program) -> None:
        import wasmtime

        self._imports = program.imports
        self._store = store = wasmtime.Store(program.engine)
        trampolines = wasmtime.Instance(store, program.trampolines, []).exports(store)
        answers = [trampolines[imported.name] for imported in program.imports]
        compiler = wasmtime.Instance(store, program.compiler, answers).exports(store)
        needs = [compiler[imported.name or ""] for imported in program.shim.imports]
        self._shim = wasmtime.Instance(store, program.shim, needs).exports(store)
        slots = cast("wasmtime.Table", trampolines["slots"])
        for number, imported in enumerate(program.imports):
            if imported.answer is not None:
                slots.set(store, number, self._shim[imported.answer])
        slots.set(store, len(program.imports), self._shim["refuse"])
        self._memory = cast("wasmtime.Memory", self._shim["memory"])
        self._memories = (self._memory, cast("wasmtime.Memory", compiler["memory"]))
        self._compile = self._function("compile")
        cast("wasmtime.Func", compiler["__wbindgen_start"])(store)
        self._first_bytes = 0

    def open(self, parameters: Mapping[str, object]) -> None:
        """Construct the compiler's own QueryCompiler object."""
        self._push(parameters)
        self._call(self._function("open"))
        self._first_bytes = self.growth_bytes()

    def compile(self, request: bytes) -> Any:
        self._write(request)
        return self._call(self._compile, len(request))

    def close(self) -> None:
        self._store.close()

    def growth_bytes(self) -> int:
        """Return by how much the memory has grown since the instance was opened."""
        return sum(memory.data_len(self._store) for memory in self._memories) - self._first_bytes

    def _function(self, name: str) -> Callable[..., Any]:
        return functools.partial(cast("wasmtime.Func", self._shim[name]), self._store)

    def _push(self, value: object) -> None:
        """Put *value* as a JavaScript value on the shim's stack."""
        match value:
            case bool():
                self._function("push_boolean")(int(value))
            case int() | float():
                self._function("push_number")(float(value))
            case str():
                data = value.encode()
                self._write(data)
                self._function("push_string")(len(data))
            case Mapping():
                self._function("push_object")()
                for key, item in value.items():
                    self._push(key)
                    self._push(item)
                    self._function("set_pushed")()
            case _:
                raise TypeError(type(value).__name__)

    def _call(self, function: Callable[..., tuple[int, int]], *arguments: int) -> Any:
        """Call a function of the shim and return the answer it has written."""
        import wasmtime

        try:
            outcome, length = function(*arguments)
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:  # out of memory or stack; panics do not come this way
            raise CompilerTrapError(str(error)) from error
        answer = self._read(length)
        if outcome == _ERROR:
            raise _compile_error(answer)
        if outcome == _GIVEN_UP:
            raise CompilerTrapError(self._reason(answer))
        return answer

    def _reason(self, answer: str | int) -> str:
        if isinstance(answer, str):
            return answer
        return f"the compiler called {self._imports[answer].name}, which agentdb's host leaves out"

    def _write(self, data: bytes) -> None:
        missing = len(data) - self._memory.data_len(self._store)
        if missing > 0:
            self._memory.grow(self._store, missing // _PAGE_BYTES + 1)
        self._memory.write(self._store, data, 0)

    def _read(self, length: int) -> Any:
        return _decoder.decode(self._memory.read(self._store, 0, length).decode())


def _float_from_bits(text: str) -> float:
    """Return the float that the shim wrote as its 64 bits, for example "4609434218613702656e0" for 1.5."""
    return cast("float", struct.unpack("<d", struct.pack("<q", int(text.removesuffix("e0"))))[0])


_decoder = json.JSONDecoder(parse_float=_float_from_bits)


def _compile_error(error: Any) -> CompileError:
    if not isinstance(error, dict):
        return CompileError(str(error))
    return CompileError(error["message"], error.get("code"), error.get("meta"))
