// Answers requests in Prisma's JSON protocol as Prisma itself answers them: the same query compiler, and Prisma's own
// interpreter and database adapter.
//
//   node oracle.mjs SCHEMA URL
//
// One line of JSON in, one line out. A request is answered by {"ok": result} or {"error": {code, message, meta}};
// {"together": [text of a request, …], "untilError": bool} by the list of its answers, all in one transaction, which an
// error rolls back if it ends the list. Values keep their tags: {"$type": "DateTime", "value": …}.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

// The packages are those of prisma/package.json, wherever this script lies.
const require = createRequire(new URL("../../prisma/package.json", import.meta.url));
const { PrismaPg } = require("@prisma/adapter-pg");
const { QueryInterpreter, TransactionManager, noopTracingHelper, safeJsonStringify } = require("@prisma/client-engine-runtime");
const pg = require("pg");
const { parse: parseArray } = require("postgres-array");

const [schemaPath, url] = process.argv.slice(2);
const MONEY = 790;
const LIMITS = { timeout: 60_000, maxWait: 10_000 };

// -- the compiler

const COMPILER = "@prisma/query-compiler-wasm/postgresql/query_compiler_fast_bg";
const GLUE = pathToFileURL(require.resolve(`${COMPILER}.js`));
const MODULE = new WebAssembly.Module(readFileSync(require.resolve(`${COMPILER}.wasm`)));
const datamodel = readFileSync(schemaPath, "utf8");
globalThis.PRISMA_WASM_PANIC_REGISTRY = { set_message() {} };
let started = 0;

/** Starts a compiler; each has a copy of the glue of its own, which keeps a view of its instance's memory. */
async function startCompiler() {
  const glue = await import(`${GLUE}?${started++}`);
  const instance = new WebAssembly.Instance(MODULE, { "./query_compiler_fast_bg.js": glue });
  glue.__wbg_set_wasm(instance.exports);
  instance.exports.__wbindgen_start();
  // Without joins, as with our engine: Prisma's client joins only where the schema asks for `relationJoins`.
  const connectionInfo = { schemaName: "public", supportsRelationJoins: false };
  return new glue.QueryCompiler({ datamodel, provider: "postgres", connectionInfo });
}

let compiler = await startCompiler();

// -- the database

/** Connects Prisma's adapter, and repairs what it reads wrongly; its faults are not what is to be compared. */
async function connect() {
  const pool = new pg.Pool({ connectionString: url, options: "-c timezone=UTC" });
  // Lists of enums and of extension types arrive as PostgreSQL's text, which the interpreter cannot read.
  const lists = await pool.query("SELECT oid FROM pg_type WHERE typcategory = 'A' AND oid >= 16384");
  for (const { oid } of lists.rows) pg.types.setTypeParser(oid, (text) => parseArray(text));
  const adapter = await new PrismaPg(pool).connect();
  repairMoney(adapter);
  const startTransaction = adapter.startTransaction.bind(adapter);
  adapter.startTransaction = async (level) => repairMoney(await startTransaction(level));
  return adapter;
}

/** The adapter drops the first character of an amount, "$" or "-", and keeps what groups its thousands. */
function repairMoney(queryable) {
  const performIO = queryable.performIO.bind(queryable);
  queryable.performIO = async (query) => {
    const result = await performIO(query);
    result.fields?.forEach(({ dataTypeID }, column) => {
      if (dataTypeID !== MONEY) return;
      for (const row of result.rows) row[column] = row[column]?.replace("$", "-").replaceAll(",", "") ?? null;
    });
    return result;
  };
  return queryable;
}

const adapter = await connect();
const options = { tracingHelper: noopTracingHelper, provider: "postgres" };
const manager = new TransactionManager({ driverAdapter: adapter, transactionOptions: LIMITS, ...options });
const interpreter = QueryInterpreter.forSql({ connectionInfo: adapter.getConnectionInfo(), ...options });

// -- answering

/** Answers one request, given as text: JavaScript would round the large numbers in it. */
async function answer(text, queryable, transactionManager) {
  try {
    const plan = compiler.compile(text);
    return { ok: (await interpreter.run(plan, { queryable, transactionManager, scope: {} })) ?? null };
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) compiler = await startCompiler(); // it has crashed
    const { driverAdapterError, ...meta } = error.meta ?? {};
    return { error: { code: error.code, message: String(error.message), meta } };
  }
}

async function answerTogether({ together, untilError }) {
  const { id } = await manager.startTransaction();
  const transaction = await manager.getTransaction({ id }, "query");
  const answers = [];
  for (const text of together) {
    answers.push(await answer(text, transaction, { enabled: false }));
    if (untilError && answers.at(-1).error) {
      await manager.rollbackTransaction(id);
      return answers;
    }
  }
  await manager.commitTransaction(id);
  return answers;
}

for await (const line of createInterface({ input: process.stdin })) {
  const answered = line.startsWith('{"together":')
    ? answerTogether(JSON.parse(line))
    : answer(line, adapter, { enabled: true, manager });
  process.stdout.write(`${safeJsonStringify(await answered)}\n`);
}
process.exit(0);
