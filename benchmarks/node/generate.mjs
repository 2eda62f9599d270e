// Generates Prisma's own client, as `prisma generate` does, but without the command line, which wants a binary that no
// package registry carries: node generate.mjs SCHEMA FOLDER

import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import path from 'node:path'

const require = createRequire(import.meta.url)
const { PrismaClientJsGenerator } = require('@prisma/client-generator-js')
const { getDMMF } = require('@prisma/internals')

const [schemaPath, output] = process.argv.slice(2).map((name) => path.resolve(name))

// Prisma 7 refuses the URL in the schema, which the generator of the Python client requires.
const datamodel = (await readFile(schemaPath, 'utf8')).replace(/^\s*url\s*=.*$/m, '')

const generator = new PrismaClientJsGenerator({
  cliCommand: '',
  runtimePath: path.join(path.dirname(require.resolve('@prisma/client/package.json')), 'runtime'),
})
await generator.generate({
  datamodel,
  schemaPath,
  dmmf: await getDMMF({ datamodel, previewFeatures: [] }),
  version: '',
  binaryPaths: {},
  datasources: [{ name: 'db', provider: 'postgresql', activeProvider: 'postgresql', schemas: [] }],
  generator: {
    name: 'client',
    provider: { value: 'prisma-client-js' },
    output: { value: output },
    isCustomOutput: true,
    config: {},
    binaryTargets: [],
    previewFeatures: [],
    sourceFilePath: schemaPath,
  },
})
