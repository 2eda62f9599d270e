#!/usr/bin/env node
// Prisma's schema engine (WebAssembly, from npm) in the place of the binary that Prisma's command line downloads:
//
//   PRISMA_SCHEMA_ENGINE_BINARY=prisma/tools/schema-engine.mjs npx prisma migrate deploy
//
// For tests, where no binary can be downloaded. The command line (7.10) starts the engine with --datasource and sends
// JSON-RPC over stdin, a line a call; the engine here has methods of the same names.

import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { bindMigrationAwareSqlAdapterFactory } from "@prisma/driver-adapter-utils";
import * as bindings from "@prisma/schema-engine-wasm/schema_engine_bg";
import { MigrationAdapterFactory } from "./adapter.mjs";

// What the engine is told of the schema when it starts; each call brings the schema that it is about.
const PROVIDER = 'datasource db {\n  provider = "postgresql"\n}\n';

/** Methods that the engine from npm names otherwise. */
const renamed = { getDatabaseVersion: "version" };

async function startEngine(url) {
  const file = fileURLToPath(new URL("schema_engine_bg.wasm", import.meta.resolve("@prisma/schema-engine-wasm")));
  const { instance } = await WebAssembly.instantiate(await readFile(file), { "./schema_engine_bg.js": bindings });
  bindings.__wbg_set_wasm(instance.exports);
  instance.exports.__wbindgen_start();
  const adapter = bindMigrationAwareSqlAdapterFactory(new MigrationAdapterFactory(url));
  const engine = await bindings.SchemaEngine.new({ datamodels: [["schema.prisma", PROVIDER]] }, () => {}, adapter);
  return { engine, errors: adapter.errorRegistry };
}

function send(message) {
  process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
}

async function serve(url) {
  const { engine, errors } = await startEngine(url);
  for await (const line of createInterface({ input: process.stdin })) {
    const { id, method, params } = JSON.parse(line);
    if (method === undefined) continue; // an answer to `print`
    try {
      const result = await engine[renamed[method] ?? method](params);
      // The binary has the command line print what it found.
      if (method === "diff") send({ id: `print-${id}`, method: "print", params: { content: result.stdout ?? "" } });
      send({ id, result: result ?? null });
    } catch (error) {
      send({ id, error: { code: 4466, message: "failed", data: described(error, errors) } });
    }
  }
}

/** The words of an error; of one that happened in JavaScript the engine passes on only its number. */
function described(error, errors) {
  const [, number] = /External error id#(\d+)/.exec(error.message) ?? [];
  const cause = number === undefined ? error : errors.consumeError(Number(number)).error;
  return { is_panic: false, message: cause.message, meta: null, error_code: error.code ?? null };
}

const { values, positionals } = parseArgs({
  options: { datasource: { type: "string" }, version: { type: "boolean" } },
  allowPositionals: true,
  strict: false,
});
const { url } = JSON.parse(values.datasource ?? "{}");
if (values.version) {
  console.log("schema-engine-cli wasm");
} else if (positionals[0] === "cli") {
  await new MigrationAdapterFactory(url).connect(); // can-connect-to-database; that it exists is for the test to see to
} else {
  await serve(url);
}
process.exit();
