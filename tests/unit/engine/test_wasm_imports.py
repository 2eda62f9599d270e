from __future__ import annotations

from typing import Any

import pytest
import wasmtime

from agentdb.engine.wasm_imports import CompilerImport, UnsupportedImportError, compiler_imports, write_trampolines


def module(*imports: str) -> wasmtime.Module:
    text = "\n".join(f'(import "js" {imported})' for imported in imports)
    return wasmtime.Module(wasmtime.Engine(), f"(module {text})")


def test_hash_does_not_matter() -> None:
    """An import is known by its name without the hash and its signature."""
    (found,) = compiler_imports(module('"__wbg_isSafeInteger_0123456789abcdef" (func (param externref) (result i32))'))
    assert found == CompilerImport(
        "__wbg_isSafeInteger_0123456789abcdef", parameters=("externref",), results=("i32",), answer="is_safe_integer"
    )


@pytest.mark.parametrize(
    ("signature", "answer"),
    [
        ("(param externref i32 externref)", "set_item"),
        ("(param externref externref externref)", "set_property"),
        ("(param externref externref externref) (result externref)", None),
    ],
)
def test_signature_matters(signature: str, answer: str | None) -> None:
    """Imports of one name are told apart by their signatures."""
    (found,) = compiler_imports(module(f'"__wbg_set_0123456789abcdef" (func {signature})'))
    assert found.answer == answer


@pytest.mark.parametrize(
    "imported",
    [
        '"__wbg_teleport_0123456789abcdef" (func (param i32))',
        '"__wbg_isSafeInteger_0123456789abcdef" (func (param i32) (result i32))',
        '"__wbg_new_0123456789abcdef" (func (result externref))',
        '"memory" (memory 1)',
    ],
    ids=["name", "signature", "constructor of a class unknown", "no function"],
)
def test_unknown_import(imported: str) -> None:
    """An import that the host does not implement is an error that names it, before anything runs."""
    with pytest.raises(UnsupportedImportError, match=imported.split('"')[1]) as caught:
        compiler_imports(module(imported))
    assert caught.value.name == imported.split('"')[1]


def test_trampolines_jump_through_the_table() -> None:
    """A trampoline passes its arguments on to the function that stands in its slot, and what that returns back."""
    imports = [
        CompilerImport("left_out", ("i32",), (), None),
        CompilerImport("subtract", ("i32", "i32"), ("i32",), "subtract"),
    ]
    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    exports = wasmtime.Instance(store, wasmtime.Module(engine, write_trampolines(imports)), []).exports(store)
    refused: list[int] = []
    i32 = wasmtime.ValType.i32
    functions: list[Any] = [
        wasmtime.Func(store, wasmtime.FuncType([i32(), i32()], [i32()]), lambda one, other: one - other),
        wasmtime.Func(store, wasmtime.FuncType([i32()], []), refused.append),
    ]
    slots, subtract, left_out = exports["slots"], exports["subtract"], exports["left_out"]
    assert isinstance(slots, wasmtime.Table)
    assert isinstance(subtract, wasmtime.Func)
    assert isinstance(left_out, wasmtime.Func)
    for slot, function in enumerate(functions, start=1):
        slots.set(store, slot, function)

    assert subtract(store, 50, 8) == 42
    with pytest.raises(wasmtime.Trap):
        left_out(store, 5)
    assert refused == [0]
