import { defineConfig } from "prisma/config";

export default defineConfig({
  schema: "prisma", // the folder: schema.prisma, and agentdb.prisma beside it
  migrations: { path: "prisma/migrations" },
  datasource: { url: process.env.DATABASE_URL ?? "" }, // empty for `prisma generate`, which needs no database
});
