// Moves to the query compiler of another Prisma release: node tools/compiler.mjs 7.10.0
//
// The compiler's package numbers builds, not releases; which build belongs to a release is what its client was built with.
// The interpreter and the adapter that the tests compare with have to be of the same release.

import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const compiler = '@prisma/query-compiler-wasm'
const beside = ['@prisma/client-engine-runtime', '@prisma/adapter-pg', '@prisma/driver-adapter-utils']

const cwd = fileURLToPath(new URL('..', import.meta.url))
const npm = (...args) => execFileSync('npm', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })

const release = process.argv[2]
if (!/^\d+\.\d+\.\d+$/.test(release ?? '')) {
  console.error('usage: node tools/compiler.mjs RELEASE, such as 7.10.0')
  process.exit(2)
}

const build = JSON.parse(npm('view', `@prisma/client@${release}`, 'devDependencies', '--json'))[compiler]
const install = ['install', '--save-exact', '--ignore-scripts', '--no-audit', '--no-fund']
npm(...install, `${compiler}@${build}`)
npm(...install, '--save-dev', ...beside.map((name) => `${name}@${release}`))
console.log(`${compiler} ${build}: now run make test oracle`)
