// @prisma/adapter-pg as the schema engine needs it: its 7.10.0 has faults that only migrations and introspection meet.

import { randomUUID } from "node:crypto";
import { PrismaPg } from "@prisma/adapter-pg";
import { ColumnTypeEnum } from "@prisma/driver-adapter-utils";
import pg from "pg";

const CHAR = 18; // the catalog's type "char", which the adapter does not know
const NAME = 19; // a type that it does know

export class MigrationAdapterFactory {
  provider = "postgres";
  adapterName = "@prisma/adapter-pg";

  /** @param {string} url In Prisma's dialect: `?schema=` is honoured. */
  constructor(url) {
    const parsed = new URL(url);
    this.schema = parsed.searchParams.get("schema") ?? "public";
    parsed.searchParams.delete("schema");
    this.config = {
      connectionString: parsed.href,
      options: `-c search_path=${pg.escapeIdentifier(this.schema).replaceAll(" ", "\\ ")}`,
      allowExitOnIdle: true,
      onnotice: () => {},
    };
  }

  async connect() {
    const pool = new pg.Pool(this.config);
    await pool.query(`CREATE SCHEMA IF NOT EXISTS ${pg.escapeIdentifier(this.schema)}`);
    return this.adapter(pool, () => pool.end());
  }

  /** A database of its own, dropped afterwards (the adapter drops it before it closes its connections). */
  async connectToShadowDb() {
    const owner = new pg.Pool(this.config);
    const database = `agentdb_shadow_${randomUUID()}`;
    await owner.query(`CREATE DATABASE "${database}"`);
    const url = new URL(this.config.connectionString);
    url.pathname = `/${database}`;
    const pool = new pg.Pool({ ...this.config, connectionString: url.href });
    await pool.query(`CREATE SCHEMA IF NOT EXISTS ${pg.escapeIdentifier(this.schema)}`);
    return this.adapter(pool, async () => {
      await pool.end();
      await owner.query(`DROP DATABASE "${database}" WITH (FORCE)`);
      await owner.end();
    });
  }

  async adapter(pool, dispose) {
    const adapter = await new PrismaPg(pool, { schema: this.schema }).connect();
    adapter.dispose = dispose;
    adapter.executeScript = (script) => executeScript(adapter, pool, script);
    reportCharacters(adapter);
    return adapter;
  }
}

/** Sends *script* whole, over the simple protocol; the adapter would cut it at every semicolon, in a function's body too. */
async function executeScript(adapter, pool, script) {
  try {
    await pool.query(script);
  } catch (error) {
    adapter.onError(error);
  }
}

/** Makes *adapter* report columns of the type "char", of which the catalog has many, as characters. */
function reportCharacters(adapter) {
  const performIO = adapter.performIO.bind(adapter);
  const queryRaw = adapter.queryRaw.bind(adapter);
  const characters = new Map();
  adapter.performIO = async (query) => {
    const result = await performIO(query);
    const columns = [];
    result.fields?.forEach((field, index) => {
      if (field.dataTypeID !== CHAR) return;
      field.dataTypeID = NAME;
      columns.push(index);
    });
    characters.set(query, columns);
    return result;
  };
  adapter.queryRaw = async (query) => {
    const result = await queryRaw(query);
    for (const index of characters.get(query)) result.columnTypes[index] = ColumnTypeEnum.Character;
    characters.delete(query);
    return result;
  };
}
