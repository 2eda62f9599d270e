"""The engine alone, under a small schema of its own: beside raw asyncpg, and beside Prisma 7 on Node."""
