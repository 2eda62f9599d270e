"""
Which function of `shim.wat` answers which import of Prisma's query compiler.

The compiler must be instantiated with its imports, and the shim that implements them with the compiler's memory: a
circle. A third module of trampolines, one per import, is instantiated first and breaks it: each trampoline jumps
through a table that is filled once the shim exists.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import wasmtime

# The answer to imports that the compiler needs only for what it never meets with us: dates, bytes, BigInts, Maps, and
# looking into arrays or unknown objects handed in (our one, the constructor's argument, is read by property names).
_NEVER_CALLED = ""

# wasm-bindgen ends most names in a hash that changes with its release, so imports are known by the rest of the name and
# the signature. Neither tells `new Array()`, `new Map()` and `new Object()` apart; those three need the hash.
_ANSWERS = {
    "new_e17d9f43105b08be() -> externref": "new_array",
    "new_68651c719dcda04e() -> externref": _NEVER_CALLED,
    "new_1acc0b6eea89d040() -> externref": "new_object",
    "set(externref, i32, externref)": "set_item",
    "set(externref, externref, externref)": "set_property",
    "set(externref, externref, externref) -> externref": _NEVER_CALLED,
    "__wbindgen_cast(i32, i32) -> externref": "from_string",
    "__wbindgen_cast(f64) -> externref": "from_f64",
    "__wbindgen_cast(i64) -> externref": _NEVER_CALLED,
    "Error(i32, i32) -> externref": "new_error",
    "String(i32, externref)": "string_get",
    "Number(externref) -> f64": "to_number",
    "isSafeInteger(externref) -> i32": "is_safe_integer",
    "get_with_ref_key(externref, externref) -> externref": "get_property",
    "__wbindgen_in(externref, externref) -> i32": "has_property",
    "__wbindgen_is_object(externref) -> i32": "is_object",
    "__wbindgen_is_string(externref) -> i32": "is_string",
    "__wbindgen_is_undefined(externref) -> i32": "is_undefined",
    "__wbindgen_jsval_loose_eq(externref, externref) -> i32": "loose_equal",
    "__wbindgen_boolean_get(externref) -> i32": "boolean_get",
    "__wbindgen_string_get(i32, externref)": "string_get",
    "__wbindgen_init_externref_table()": "init_references",
    "__wbindgen_throw(i32, i32)": "panic",
    "set_message(i32, i32)": "panic",
    "__wbindgen_debug_string(i32, externref)": _NEVER_CALLED,
    "__wbindgen_number_get(i32, externref)": _NEVER_CALLED,
    "entries(externref) -> externref": _NEVER_CALLED,
    "get(externref, i32) -> externref": _NEVER_CALLED,
    "length(externref) -> i32": _NEVER_CALLED,
    "instanceof_ArrayBuffer(externref) -> i32": _NEVER_CALLED,
    "instanceof_Uint8Array(externref) -> i32": _NEVER_CALLED,
    "new(externref) -> externref": _NEVER_CALLED,
    "prototypesetcall(i32, i32, externref)": _NEVER_CALLED,
    "new_0() -> externref": _NEVER_CALLED,
    "getTime(externref) -> f64": _NEVER_CALLED,
}


class UnsupportedImportError(Exception):
    """The compiler imports a function that agentdb's host does not implement."""

    def __init__(self, name: str, signature: str) -> None:
        super().__init__(
            f"This release of Prisma's query compiler imports {name} ({signature}), "
            "which agentdb's host does not implement. Build agentdb with the release pinned in prisma/package.json."
        )
        self.name = name
        self.signature = signature


@dataclass(frozen=True, slots=True)
class CompilerImport:
    """
    One function that the compiler imports.

    Attributes:
        name: The whole name, hash included.
        parameters: WebAssembly types, in WAT's notation.
        results: Likewise.
        answer: The shim's export that implements it; None when the compiler never calls it.
    """

    name: str
    parameters: tuple[str, ...]
    results: tuple[str, ...]
    answer: str | None


def compiler_imports(compiler: wasmtime.Module) -> list[CompilerImport]:
    """
    Return what *compiler* imports, in its order, with the answer to each.

    Raises:
        UnsupportedImportError: The host knows no answer to one of them.
    """
    return [_compiler_import(imported) for imported in compiler.imports]


def _compiler_import(imported: wasmtime.ImportType) -> CompilerImport:
    import wasmtime

    name, function = imported.name or "", imported.type
    if not isinstance(function, wasmtime.FuncType):
        raise UnsupportedImportError(name, type(function).__name__)
    parameters, results = _type_names(function.params), _type_names(function.results)
    bare_name = name.removeprefix("__wbg_")
    signature = f"({', '.join(parameters)})" + (f" -> {', '.join(results)}" if results else "")
    for known_name in (bare_name, re.sub(r"_[0-9a-f]{16}$", "", bare_name)):
        answer = _ANSWERS.get(known_name + signature)
        if answer is not None:
            return CompilerImport(name, parameters, results, answer or None)
    raise UnsupportedImportError(name, signature)


def _type_names(types: list[wasmtime.ValType]) -> tuple[str, ...]:
    # wasmtime-py still prints externref under the name that reference type had first.
    return tuple("externref" if str(kind) == "anyref" else str(kind) for kind in types)


def write_trampolines(imports: list[CompilerImport]) -> str:
    """
    Return a module in WAT with one exported function per import, and the table "slots" they jump through in that order.

    Behind the last of them the table has one slot more, for the function that the imports without an answer call with
    their number.
    """
    functions = "\n".join(_trampoline(imports, number) for number in range(len(imports)))
    return f"""(module
  (table $slots (export "slots") {len(imports) + 1} funcref)
{functions})"""


def _trampoline(imports: list[CompilerImport], number: int) -> str:
    imported = imports[number]
    signature = "".join(f"(param {kind})" for kind in imported.parameters)
    signature += "".join(f"(result {kind})" for kind in imported.results)
    if imported.answer is None:
        body = f"(i32.const {number}) (call_indirect $slots (param i32) (i32.const {len(imports)})) unreachable"
    else:
        arguments = "".join(f"(local.get {index})" for index in range(len(imported.parameters)))
        body = f"{arguments} (call_indirect $slots {signature} (i32.const {number}))"
    return f'  (func (export "{imported.name}") {signature} {body})'
