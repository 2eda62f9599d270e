"""What the host does for any compiler, shown with one of a few lines that answers every request with one object."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentdb.engine.wasm import CompilerTrapError, QueryCompiler

FAKE_COMPILER = """
(module
  (import "js" "__wbindgen_init_externref_table" (func $init))
  (import "js" "__wbg_new_1acc0b6eea89d040" (func $object (result externref)))
  (import "js" "__wbg_new_e17d9f43105b08be" (func $array (result externref)))
  (import "js" "__wbg_set_0123456789abcdef" (func $set (param externref externref externref)))
  (import "js" "__wbg_set_aaaaaaaaaaaaaaaa" (func $append (param externref i32 externref)))
  (import "js" "__wbindgen_cast_bbbbbbbbbbbbbbbb" (func $text (param i32 i32) (result externref)))
  (import "js" "__wbindgen_cast_cccccccccccccccc" (func $number (param f64) (result externref)))
  {imports}
  (memory (export "memory") 1)
  (data (i32.const 0) "abcdef")
  (table $references (export "__wbindgen_externrefs") 2 externref)
  (func (export "__wbindgen_malloc") (param i32 i32) (result i32) (i32.const 1024))
  (func (export "__externref_table_dealloc") (param i32))
  (func (export "__wbindgen_start") (call $init))
  (func (export "querycompiler_new") (param externref) (result i32 i32 i32) (i32.const 7) (i32.const 0) (i32.const 0))
  (func $key (param $at i32) (result externref) (call $text (local.get $at) (i32.const 1)))
  (func (export "querycompiler_compile") (param i32 i32 i32) (result i32 i32 i32)
    (local $answer externref) (local $list externref)
    (local.set $answer (call $object))
    {body}
    (table.set $references (i32.const 1) (local.get $answer))
    (i32.const 1) (i32.const 0) (i32.const 0))
)
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the compilers of these tests out of the user's cache."""
    monkeypatch.setenv("AGENTDB_CACHE_DIR", str(tmp_path / "cache"))


def fake_compiler(directory: Path, body: str, imports: str = "") -> QueryCompiler:
    """A host around a compiler that answers every request with the object $answer, filled by *body*."""
    path = directory / "compiler.wat"
    path.write_text(FAKE_COMPILER.format(body=body, imports=imports))
    return QueryCompiler("", wasm_path=path)


@pytest.mark.parametrize("number", [0.5, -1.25, 1e300, 5e-324, -0.1, 2.0**53 + 2])
def test_floats_are_exact(tmp_path: Path, number: float) -> None:
    """A number that is no safe integer arrives as a float, to the last bit."""
    body = f"(call $set (local.get $answer) (call $key (i32.const 0)) (call $number (f64.const {number.hex()})))"
    answer = fake_compiler(tmp_path, body).compile("")
    assert answer == {"a": number}
    assert type(answer["a"]) is float


@pytest.mark.parametrize("number", [0, -1, 10, 2**53 - 1, -(2**53) + 1])
def test_whole_numbers_are_integers(tmp_path: Path, number: int) -> None:
    """A JavaScript number without a fraction arrives as an int, as JSON would have it."""
    body = f"(call $set (local.get $answer) (call $key (i32.const 0)) (call $number (f64.const {number})))"
    answer = fake_compiler(tmp_path, body).compile("")
    assert answer == {"a": number}
    assert type(answer["a"]) is int


def test_undefined(tmp_path: Path) -> None:
    """As in JSON.stringify, undefined is no property of an object and null in a list; null is None in both."""
    body = """
        (local.set $list (call $array))
        (call $append (local.get $list) (i32.const 0) (table.get $references (i32.const 2)))
        (call $append (local.get $list) (i32.const 1) (table.get $references (i32.const 3)))
        (call $set (local.get $answer) (call $key (i32.const 0)) (table.get $references (i32.const 2)))
        (call $set (local.get $answer) (call $key (i32.const 1)) (table.get $references (i32.const 3)))
        (call $set (local.get $answer) (call $key (i32.const 2)) (local.get $list))
        (call $set (local.get $answer) (call $key (i32.const 3)) (table.get $references (i32.const 4)))
        (call $set (local.get $answer) (call $key (i32.const 4)) (table.get $references (i32.const 5)))
    """
    answer = fake_compiler(tmp_path, body).compile("")
    assert answer == {"b": None, "c": [None, None], "d": True, "e": False}


def test_trap(tmp_path: Path) -> None:
    """A compiler that traps without a word fails that call alone."""
    compiler = fake_compiler(tmp_path, "(if (i32.gt_u (local.get 2) (i32.const 3)) (then (unreachable)))")
    with pytest.raises(CompilerTrapError, match="unreachable"):
        compiler.compile("long")
    assert compiler.compile("ok") == {}


def test_import_left_out(tmp_path: Path) -> None:
    """A compiler that calls an import we leave out fails that call, which names the import."""
    compiler = fake_compiler(
        tmp_path,
        "(local.set $answer (call $date))",
        '(import "js" "__wbg_new_0_f9740686d739025c" (func $date (result externref)))',
    )
    with pytest.raises(CompilerTrapError, match="__wbg_new_0_f9740686d739025c"):
        compiler.compile("")


def test_no_compiler(tmp_path: Path) -> None:
    """A compiler that is not there is an error at once, not at the first request."""
    path = tmp_path / "compiler.wasm"
    with pytest.raises(FileNotFoundError, match=r"compiler\.wasm"):
        QueryCompiler("", wasm_path=path)
