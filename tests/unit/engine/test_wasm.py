from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentdb.engine import wasm
from agentdb.engine.wasm import CompileError, CompilerTrapError, QueryCompiler

SCHEMA_PATH = Path(__file__).with_name("wasm_schema.prisma")
SCHEMA = SCHEMA_PATH.read_text()
ALL_SCALARS = {"$scalars": True, "$composites": True}


@pytest.fixture(scope="module")
def compiler() -> QueryCompiler:
    return QueryCompiler(SCHEMA)


def request(model: str, action: str, arguments: object = None, selection: object = None) -> str:
    query = {"arguments": arguments or {}, "selection": selection or ALL_SCALARS}
    return json.dumps({"modelName": model, "action": action, "query": query})


def create_posts(count: int) -> str:
    rows = [{"title": f"title {index}", "author_id": index} for index in range(count)]
    return request("Post", "createMany", {"data": rows}, {"count": True})


UNKNOWN_ACTION = request("User", "conjure")


def nodes(plan: object) -> Iterator[dict[str, Any]]:
    """Every dictionary of a plan, from the root down."""
    if isinstance(plan, dict):
        yield plan
        for value in plan.values():
            yield from nodes(value)
    elif isinstance(plan, list):
        for value in plan:
            yield from nodes(value)


def types(plan: object) -> list[str]:
    return [node["type"] for node in nodes(plan) if isinstance(node.get("type"), str)]


def statements(plan: object) -> list[str]:
    """The SQL of a plan's templates, with ? for each parameter."""
    return [
        "".join(fragment.get("chunk", "?") for fragment in node["fragments"])
        for node in nodes(plan)
        if "fragments" in node
    ]


def run_python(code: str) -> str:
    """What *code* prints in a Python process of its own, which has to end without a word of complaint."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(SCHEMA_PATH)], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


class TestPlans:
    def test_find_unique(self, compiler: QueryCompiler) -> None:
        """A plan holds the SQL, its parameters in order, and how to shape the row."""
        placeholder = {"$type": "Param", "value": {"name": "%0", "type": "Int"}}
        plan = compiler.compile(
            request("User", "findUnique", {"where": {"id": placeholder}}, {"id": True, "role": True})
        )
        assert statements(plan) == [
            'SELECT "public"."users"."id", "public"."users"."role"::text FROM "public"."users" '
            'WHERE ("public"."users"."id" = ? AND 1=1) LIMIT ? OFFSET ?'
        ]
        (template,) = (node for node in nodes(plan) if "fragments" in node)
        assert template["args"] == [
            {"prisma__type": "param", "prisma__value": {"name": "%0", "type": "Int"}},
            "1",
            "0",
        ]
        assert plan["args"]["enums"] == {"Role": {"administrator": "ADMIN", "MEMBER": "MEMBER", "GUEST": "GUEST"}}

    def test_every_kind_of_value(self, compiler: QueryCompiler) -> None:
        """None, booleans, whole numbers, strings, empty and filled lists and dictionaries arrive as just that."""
        selection = ALL_SCALARS | {"posts": {"arguments": {"take": -3, "skip": 1}, "selection": {"id": True}}}
        plan = compiler.compile(request("User", "findMany", {"where": {"id": {"in": []}}}, selection))
        found = {type(value) for node in nodes(plan) for value in node.values()}
        assert found == {type(None), bool, int, str, list, dict}
        values = [value for node in nodes(plan) for value in node.values()]
        assert -3 in values or 3 in values
        assert {} in values or [] in values

    @pytest.mark.parametrize(
        "text",
        [
            "",
            'quote " backslash \\ slash /',
            "line\nfeed\ttab\rreturn",
            "\0\x01\x0b\x1f\x7f",
            "żółć",
            "日本語",
            "\N{ROCKET}\u2028\ufeff",
            "x" * 70_000,
            "\x1f" * 70_000,
        ],
        ids=lambda text: ascii(text)[:24],
    )
    def test_strings_are_kept(self, compiler: QueryCompiler, text: str) -> None:
        """A string goes into the compiler and comes out in the plan unchanged, whatever its characters and length."""
        plan = compiler.compile(request("User", "findMany", {"where": {"email": text}}, {"id": True}))
        assert [node["args"][0] for node in nodes(plan) if "fragments" in node] == [text]

    def test_nested_create(self, compiler: QueryCompiler) -> None:
        """A nested write compiles to one transaction of several statements, in the order they have to run."""
        posts = [{"title": "a", "categories": {"create": [{"name": "x"}]}}, {"title": "b"}]
        plan = compiler.compile(request("User", "createOne", {"data": {"email": "e", "posts": {"create": posts}}}))
        assert plan["type"] == "transaction"
        tables = [sql.split('"')[3] for sql in statements(plan) if sql.startswith("INSERT")]
        assert tables[0] == "users"
        assert sorted(tables[1:]) == ["Category", "Post", "Post", "_CategoryToPost"]

    @pytest.mark.parametrize(
        ("model", "where"),
        [
            ("Team", {"organization_id_id": {"organization_id": "o", "id": "t"}}),
            ("Membership", {"membership_key": {"organization_id": "o", "team_id": "t", "user_id": 1}}),
            ("Post", {"author_id_title": {"author_id": 1, "title": "t"}}),
            ("Comment", {"id": {"$type": "BigInt", "value": "9007199254740993"}}),
            ("Document", {"id": "9b2f0b5e-3c0f-4b6a-9f0e-1d5a7c1f3b11"}),
        ],
    )
    def test_every_kind_of_key(self, compiler: QueryCompiler, model: str, where: object) -> None:
        """Composite, 64-bit and database-generated keys compile like any other."""
        assert "unique" in types(compiler.compile(request(model, "findUnique", {"where": where})))

    def test_numbers_beyond_javascript_are_exact(self, compiler: QueryCompiler) -> None:
        """A BigInt that no JavaScript number can hold is in the plan to the last digit."""
        where = {"visits": {"$type": "BigInt", "value": "9007199254740993"}}
        plan = compiler.compile(request("User", "findMany", {"where": where}, {"id": True}))
        assert [node["args"][0] for node in nodes(plan) if "fragments" in node] == ["9007199254740993"]

    def test_schema_name(self) -> None:
        """The tables of a plan are qualified with the schema the compiler was made for."""
        plan = QueryCompiler(SCHEMA, schema_name="tenant").compile(request("Category", "findMany"))
        assert all('FROM "tenant"."Category"' in sql for sql in statements(plan))

    def test_max_bind_values(self, compiler: QueryCompiler) -> None:
        """A statement that would take too many parameters is split, and its parts run in one transaction."""
        whole = compiler.compile(create_posts(10))
        split = QueryCompiler(SCHEMA, max_bind_values=20).compile(create_posts(10))
        assert len(statements(whole)) == 1
        assert len(statements(split)) > 1
        assert "transaction" in types(split)
        assert "sum" in types(split)

    def test_same_request_same_plan(self, compiler: QueryCompiler) -> None:
        """What the compiler keeps from one call to the next does not show in its plans."""
        requests = [create_posts(count) for count in (1, 30)] + [
            request("User", "findMany"),
            request("Team", "findFirst"),
        ]
        first = [compiler.compile(text) for text in requests]
        assert [compiler.compile(text) for text in requests] == first
        assert [QueryCompiler(SCHEMA).compile(text) for text in requests] == first


class TestRefusals:
    def test_unknown_field(self, compiler: QueryCompiler) -> None:
        """A refusal has Prisma's message, code and details, and no key for what is undefined."""
        with pytest.raises(CompileError, match=r"findUniqueUser\.where\.nonsense") as caught:
            compiler.compile(request("User", "findUnique", {"where": {"nonsense": 1}}))
        assert caught.value.code == "P2009"
        assert caught.value.message == str(caught.value)
        assert caught.value.meta is not None
        assert caught.value.meta["kind"] == "UnknownInputField"
        assert caught.value.meta["argumentPath"] == ["where", "nonsense"]

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"modelName": "User"}', "\0", "é"])
    def test_no_request(self, compiler: QueryCompiler, text: str) -> None:
        """A text that is no request is refused without a code."""
        with pytest.raises(CompileError, match="JSON Error") as caught:
            compiler.compile(text)
        assert caught.value.code is None
        assert caught.value.meta is None

    def test_unreadable_schema(self) -> None:
        """The compiler does not validate a schema: it knows no models it could not read."""
        compiler = QueryCompiler("this is no schema")
        with pytest.raises(CompileError, match="does not match any query"):
            compiler.compile(request("User", "findMany"))

    def test_refusal_changes_nothing(self, compiler: QueryCompiler) -> None:
        """After a refusal the compiler answers as before."""
        before = compiler.compile(request("User", "findMany"))
        with pytest.raises(CompileError):
            compiler.compile(request("User", "findMany", {"where": 1}))
        assert compiler.compile(request("User", "findMany")) == before


class TestPanics:
    def test_unknown_action(self, compiler: QueryCompiler) -> None:
        """The compiler panics over an unknown action: that call fails with its reason, the next ones work."""
        before = compiler.compile(request("User", "findMany"))
        for _ in range(3):
            with pytest.raises(CompilerTrapError, match="Unknown query tag: conjure"):
                compiler.compile(UNKNOWN_ACTION)
            assert compiler.compile(request("User", "findMany")) == before

    def test_impossible_parameters(self) -> None:
        """A compiler that gives up over what it is made with is an error at once."""
        with pytest.raises(CompilerTrapError, match="compiler"):
            QueryCompiler(SCHEMA, max_bind_values=-1)

    def test_panic_beside_faulthandler(self) -> None:
        """A panic ends a call, not the process, also when faulthandler came after wasmtime and owns its signals."""
        printed = run_python(
            f"""
            import faulthandler, sys
            from pathlib import Path
            from agentdb.engine.wasm import CompilerTrapError, QueryCompiler
            compiler = QueryCompiler(Path(sys.argv[1]).read_text())
            faulthandler.enable()
            try:
                compiler.compile({UNKNOWN_ACTION!r})
            except CompilerTrapError:
                print("alive")
            """
        )
        assert printed == "alive\n"


class TestResources:
    def test_import_is_light(self) -> None:
        """Importing the module does not import wasmtime."""
        assert run_python("import sys, agentdb.engine.wasm; print('wasmtime' in sys.modules)") == "False\n"

    def test_close(self) -> None:
        """A closed compiler holds no memory, and takes some again when it is used."""
        compiler = QueryCompiler(SCHEMA)
        plan = compiler.compile(create_posts(2))
        compiler.close()
        compiler.close()
        assert compiler.compile(create_posts(2)) == plan

    def test_exit_is_quiet(self) -> None:
        """A process that ends while a compiler is still alive prints no errors."""
        code = """
            import threading  # a module that is imported before wasmtime is torn down after it
            from agentdb.engine.wasm import QueryCompiler
            threading.kept = QueryCompiler("")
            """
        assert run_python(code) == ""

    def test_threads_share_a_compiler(self, compiler: QueryCompiler) -> None:
        """Threads that compile at the same time, one of them with panics, each get their own answer."""
        requests = [create_posts(count) for count in range(1, 6)]
        expected = [compiler.compile(text) for text in requests]
        wrong: list[object] = []

        def work(text: str, plan: dict[str, Any]) -> None:
            wrong.extend(found for _ in range(40) if (found := compiler.compile(text)) != plan)

        def panic() -> None:
            for _ in range(10):
                with pytest.raises(CompilerTrapError):
                    compiler.compile(UNKNOWN_ACTION)

        threads = [threading.Thread(target=work, args=pair) for pair in zip(requests, expected, strict=True)]
        threads.append(threading.Thread(target=panic))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has no module resource")
    def test_memory_is_bounded(self) -> None:
        """Thousands of different requests, refusals among them, do not make the process larger."""
        printed = run_python(
            """
            import json, resource, sys
            from pathlib import Path
            from agentdb.engine.wasm import CompileError, QueryCompiler

            compiler = QueryCompiler(Path(sys.argv[1]).read_text())

            def compile_many(start, stop):
                for number in range(start, stop):
                    name = f"value {number} " + "x" * (number % 500)
                    query = {"arguments": {"where": {"name": name}}, "selection": {"id": True, "email": True}}
                    compiler.compile(json.dumps({"modelName": "User", "action": "findMany", "query": query}))
                    rows = [{"title": f"{name} {row}", "author_id": row} for row in range(number % 12 + 1)]
                    query = {"arguments": {"data": rows}, "selection": {"count": True}}
                    compiler.compile(json.dumps({"modelName": "Post", "action": "createMany", "query": query}))
                    query = {"arguments": {"where": {f"no field {number}": 1}}, "selection": {"id": True}}
                    try:
                        compiler.compile(json.dumps({"modelName": "User", "action": "findMany", "query": query}))
                    except CompileError:
                        pass
                return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

            print(compile_many(0, 200), compile_many(200, 1600))
            """
        )
        before, after = map(int, printed.split())
        assert after < before * 1.05

    def test_grown_instance_is_replaced(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An instance whose memory has grown too far is given up, and the next call works on a small one."""
        monkeypatch.setattr(wasm, "_MOST_GROWTH_BYTES", 1 << 20)
        compiler = QueryCompiler(SCHEMA)
        small, large = request("User", "findFirst"), create_posts(1500)
        plan = compiler.compile(small)
        first = compiler._instance
        compiler.compile(large)
        assert first is not None
        assert compiler._instance is None
        assert compiler.compile(small) == plan
        assert compiler._instance is not None
