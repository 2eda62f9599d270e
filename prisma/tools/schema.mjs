// Prisma's own schema engine (WebAssembly, from npm) on schema.prisma and migrations/; needs no Prisma binary.
//
//   node tools/schema.mjs ddl              the SQL of schema.prisma, from nothing; needs no database
//   node tools/schema.mjs drift    [URL]   do the migrations make what schema.prisma says? 0 yes, 2 no and the missing SQL
//   node tools/schema.mjs deploy   [URL]   apply the migrations as `prisma migrate deploy` does
//   node tools/schema.mjs status   [URL]   compare the migrations with what is applied: 0 up to date, 2 not
//
// URL defaults to DATABASE_URL. Its role must be allowed to create databases for `drift`, which works in a database of
// its own and drops it. Drift does not see CHECKs, partial and expression indexes, policies, grants or functions.

import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import {
  bindMigrationAwareSqlAdapterFactory,
  ColumnTypeEnum,
  mockAdapter,
  mockMigrationAwareAdapterFactory,
} from "@prisma/driver-adapter-utils";
import * as bindings from "@prisma/schema-engine-wasm/schema_engine_bg";
import { MigrationAdapterFactory } from "./adapter.mjs";

const PRISMA = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");
const MIGRATIONS = path.join(PRISMA, "migrations");
const NO_FILTER = { externalTables: [], externalEnums: [] };
const DIFFERS = 2;

let errors; // what went wrong in JavaScript; the engine passes on only its number

const commands = {
  async ddl() {
    const engine = await startEngine(offline);
    const result = await engine.diff(difference({ tag: "empty" }, await datamodel()));
    console.log(result.stdout);
    return 0;
  },

  async drift(url) {
    const engine = await startEngine(new MigrationAdapterFactory(url));
    const result = await engine.diff(difference({ tag: "migrations", ...(await migrations()) }, await datamodel()));
    if (result.exitCode === 0) return 0;
    console.error("prisma/schema.prisma and prisma/migrations disagree. A migration that brings them together:\n");
    console.log(result.stdout);
    return DIFFERS;
  },

  async deploy(url) {
    const engine = await startEngine(new MigrationAdapterFactory(url));
    const result = await engine.applyMigrations({ migrationsList: await migrations(), filters: NO_FILTER });
    for (const name of result.appliedMigrationNames) console.log(name);
    return 0;
  },

  async status(url) {
    const engine = await startEngine(new MigrationAdapterFactory(url));
    const result = await engine.diagnoseMigrationHistory({
      migrationsList: await migrations(),
      optInToShadowDatabase: false,
      filters: NO_FILTER,
    });
    console.log(JSON.stringify(result, null, 2));
    const pending = result.history !== null || result.failedMigrationNames.length > 0;
    return pending || result.editedMigrationNames.length > 0 ? DIFFERS : 0;
  },
};

/** For what needs no database: on connecting, the engine asks for the schema and the server's version, no more. */
const offline = {
  ...mockMigrationAwareAdapterFactory("postgres"),
  connect: async () => ({
    ...mockAdapter("postgres"),
    queryRaw: async () => ({
      columnNames: ["exists", "version", "numeric_version"],
      columnTypes: [ColumnTypeEnum.Boolean, ColumnTypeEnum.Text, ColumnTypeEnum.Int32],
      rows: [[true, "PostgreSQL 16.0", 160000]],
    }),
    dispose: async () => {},
  }),
};

async function startEngine(factory) {
  const file = fileURLToPath(new URL("schema_engine_bg.wasm", import.meta.resolve("@prisma/schema-engine-wasm")));
  const { instance } = await WebAssembly.instantiate(await readFile(file), { "./schema_engine_bg.js": bindings });
  bindings.__wbg_set_wasm(instance.exports);
  instance.exports.__wbindgen_start();
  const { files } = await datamodel();
  const datamodels = files.map((file) => [file.path, file.content]);
  const adapter = bindMigrationAwareSqlAdapterFactory(factory);
  errors = adapter.errorRegistry;
  return bindings.SchemaEngine.new({ datamodels }, () => {}, adapter);
}

async function datamodel() {
  const content = await readFile(path.join(PRISMA, "schema.prisma"), "utf8");
  // The CLI of Prisma 5, which generates the client, requires `url`; this engine refuses it.
  const withoutUrl = content.replace(/^\s*url\s*=.*$/m, "");
  return { tag: "schemaDatamodel", files: [{ path: "schema.prisma", content: withoutUrl }] };
}

function difference(from, to) {
  return { from, to, script: true, exitCode: true, filters: NO_FILTER };
}

async function migrations() {
  const entries = await readdir(MIGRATIONS, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  const directories = names.sort().map(async (name) => {
    const value = await readFile(path.join(MIGRATIONS, name, "migration.sql"), "utf8");
    return { path: name, migrationFile: { path: "migration.sql", content: { tag: "ok", value } } };
  });
  return {
    baseDir: MIGRATIONS,
    lockfile: {
      path: "migration_lock.toml",
      content: await readFile(path.join(MIGRATIONS, "migration_lock.toml"), "utf8"),
    },
    shadowDbInitScript: "",
    migrationDirectories: await Promise.all(directories),
  };
}

async function main([name, url = process.env.DATABASE_URL]) {
  if (!Object.hasOwn(commands, name ?? "") || (name !== "ddl" && !url)) {
    console.error("usage: node tools/schema.mjs ddl | drift [URL] | deploy [URL] | status [URL]   (URL: DATABASE_URL)");
    return 64;
  }
  return commands[name](url);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const [, id] = /External error id#(\d+)/.exec(error.message) ?? [];
  const cause = id === undefined ? error : errors.consumeError(Number(id)).error;
  console.error(cause.message);
  process.exitCode = 1;
}

// Idle connections of the adapter's pool would keep the process for another ten seconds.
process.exit();
