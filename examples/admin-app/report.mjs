// What the agents of each customer did, read as the owner of the tables: row-level security does not bind this program,
// so it names the organization itself in every query.

import { PrismaPg } from "@prisma/adapter-pg";
import { PrismaClient } from "./generated/index.js";

const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: process.env.DATABASE_URL }) });

async function report({ id: organizationId, name }) {
  const agents = await prisma.agent.findMany({
    where: { organizationId },
    orderBy: { name: "asc" },
    include: { _count: { select: { memories: true } }, executions: { orderBy: { startedAt: "desc" }, take: 1 } },
  });
  const used = await prisma.agentExecution.aggregate({
    where: { organizationId },
    _count: true,
    _sum: { inputTokens: true, outputTokens: true },
  });
  const tokens = (used._sum.inputTokens ?? 0n) + (used._sum.outputTokens ?? 0n); // BigInt: no JSON.stringify
  console.log(`${name}: ${agents.length} agents, ${used._count} executions, ${tokens} tokens`);
  for (const agent of agents) {
    const [last] = agent.executions;
    console.log(`  ${agent.name}: ${agent._count.memories} memories, last ${last?.status ?? "never"} ${JSON.stringify(last?.result)}`);
  }
}

// Organizations are ours; agentdb knows only their ids.
for (const organization of await prisma.organization.findMany({ orderBy: { id: "asc" } })) await report(organization);

await prisma.$disconnect();
