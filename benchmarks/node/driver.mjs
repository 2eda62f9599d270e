// Runs the operations with Prisma 7 and times them itself: node driver.mjs CLIENT_FOLDER URL WARM_UP_MS
//
// Its first line on stdout says what it is. A line on stdin, {"side": …, "case": …, "given": […]}, asks for one call per given item; a line on stdout answers with
// the milliseconds of each.

import { createRequire } from 'node:module'
import path from 'node:path'
import { createInterface } from 'node:readline'

const require = createRequire(import.meta.url)
const { PrismaPg } = require('@prisma/adapter-pg')

const [folder, connectionString, warmUpMs] = process.argv.slice(2)
const { Prisma, PrismaClient } = require(path.resolve(folder, 'index.js'))

// As the documentation shows it; and with the adapter's option to name, and so to prepare, its statements.
const names = new Map()
const statementNameGenerator = ({ sql }) => names.get(sql) ?? names.set(sql, `s${names.size}`).get(sql)
const pool = { connectionString, max: 16 }
const sides = {
  plain: new PrismaClient({ adapter: new PrismaPg(pool) }),
  prepared: new PrismaClient({ adapter: new PrismaPg(pool, { statementNameGenerator }) }),
}

const findUnique = (db, id) => db.author.findUnique({ where: { id } })

const cases = {
  find_unique: findUnique,
  find_many: (db, after) => db.post.findMany({ where: { id: { gt: after } }, orderBy: { id: 'asc' }, take: 50 }),
  find_page: (db) => db.post.findMany({ where: { published: true }, orderBy: { createdAt: 'desc' }, take: 50 }),
  include: (db, after) =>
    db.author.findMany({ where: { id: { gt: after } }, orderBy: { id: 'asc' }, take: 10, include: { posts: true } }),
  group_by: (db) => db.author.groupBy({ by: ['country'], _count: true, _sum: { score: true }, orderBy: { country: 'asc' } }),
  create: (db, data) => db.post.create({ data }),
  update: (db, [id, data]) => db.author.update({ where: { id }, data }),
  create_many: (db, data) => db.post.createMany({ data }),
  find_unique_at_once: (db, workers) =>
    Promise.all(
      workers.map(async (ids) => {
        for (const id of ids) await findUnique(db, id)
      }),
    ),
}

async function time(run, db, given) {
  const times = []
  for (const item of given) {
    const start = performance.now()
    await run(db, item)
    times.push(performance.now() - start)
  }
  return times
}

// The first time, until its code is compiled and its plans are cached: long enough for both.
const warm = new Set()
async function warmUp(run, side, name, given) {
  const key = `${side}.${name}`
  if (warm.has(key)) return
  warm.add(key)
  const end = performance.now() + Number(warmUpMs)
  while (performance.now() < end) await time(run, sides[side], given)
}

console.log(`@prisma/client ${Prisma.prismaVersion.client}, Node ${process.version}`)

for await (const line of createInterface({ input: process.stdin })) {
  const { side, case: name, given } = JSON.parse(line)
  try {
    await warmUp(cases[name], side, name, given)
    console.log(JSON.stringify({ times: await time(cases[name], sides[side], given) }))
  } catch (error) {
    console.log(JSON.stringify({ error: String(error?.message ?? error) }))
  }
}
await Promise.all(Object.values(sides).map((db) => db.$disconnect()))
