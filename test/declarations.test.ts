import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { assume } from './support/assume'
import { using } from './support/dispose'

const run = promisify(execFile)
const root = join(__dirname, '..', '..')

/** A code block of a document, and the line at which it begins. */
interface Block {
  readonly language: 'js' | 'ts'
  readonly code: string
  readonly line: number
}

/**
 * Primus ships no types. This declares what the plugin adds to it, by our types, so that an example that misuses them
 * fails.
 */
const PRIMUS = `
  import type { Forward, Metroplex, MetroplexOptions } from 'metroplex'
  import type { Server } from 'node:http'
  declare class Primus {
    constructor(
      server: Server,
      options?: MetroplexOptions & {
        transformer?: string
        iknowclusterwillbreakconnections?: boolean
        rooms?: { adapter: object }
      }
    )
    static createSocket(options: object): new (url: string) => {
      on(event: string, fn: (...args: any[]) => void): void
      id(fn: (id: string) => void): void
      write(data: unknown): boolean
    }
    readonly metroplex: Metroplex
    readonly forward: Forward
    readonly server: Server
    plugin(name: string, plugin: unknown): this
    on(event: string, listener: (...args: any[]) => void): this
    forEach(each: (spark: any) => unknown): this
    spark(id: string): any
    room(name: string | readonly string[]): any
    write(data: unknown): boolean
    save(path: string): this
    destroy(options: { reconnect?: boolean }, fn: () => void): this
  }
  export = Primus
`

/** What a fragment of an example takes from the text around it. */
const AROUND = `
  import Connected from 'primus'
  declare global {
    const primus: Connected
    const spark: { readonly id: string }
    const Primus: typeof Connected
  }
`

/** What an example in a docstring takes from the program around it. */
const PROGRAM = `
  import type * as Http from 'node:http'
  import { createClient as Create } from 'metroplex'
  import {
    livenessHandler as liveness,
    metrics as exported,
    metricsHandler as exporting,
    readinessHandler as readiness
  } from 'metroplex/metrics'
  import { dashboard as paged } from 'metroplex/dashboard'
  import { RoomsAdapter as Adapter } from 'metroplex/rooms'
  import { Supervisor as Supervised, worker as supervised } from 'metroplex/supervisor'
  import { Redis as Client } from 'ioredis'
  declare global {
    const http: typeof Http
    const server: Http.Server
    const id: string
    const address: string
    const prices: Map<number, number>
    const jobs: { finish(): Promise<void> }
    const Redis: typeof Client
    const createClient: typeof Create
    const dashboard: typeof paged
    const livenessHandler: typeof liveness
    const metrics: typeof exported
    const metricsHandler: typeof exporting
    const readinessHandler: typeof readiness
    const RoomsAdapter: typeof Adapter
    const Supervisor: typeof Supervised
    const worker: typeof supervised
    const spark: import('metroplex').Spark & { on(event: string, fn: (...args: any[]) => void): void }
    const primus: import('primus')
    const Primus: typeof import('primus')
  }
`

/** The sources whose docstrings users read. */
const PUBLIC = [
  'index.ts',
  'lib/api/metroplex.ts',
  'lib/api/cluster-methods.ts',
  'lib/api/cluster-client.ts',
  'lib/api/description-methods.ts',
  'lib/api/spark-moves.ts',
  'lib/common/errors.ts',
  'lib/delivery/forward-api.ts',
  'lib/dashboard/index.ts',
  'lib/dashboard/dashboard.ts',
  'lib/metrics/index.ts',
  'lib/metrics/metrics.ts',
  'lib/metrics/probes.ts',
  'lib/rooms/index.ts',
  'lib/rooms/rooms-adapter.ts',
  'lib/supervisor/index.ts',
  'lib/supervisor/supervisor.ts',
  'lib/supervisor/worker/worker.ts'
]

/** What a page has, by a name that is no name of Node.js. */
const PAGE = `
  declare class Primus { constructor(url: string, options?: object) }
  declare const primus: { on(event: 'request', fn: (data: any, reply: (value?: unknown) => void) => unknown): void }
`

async function blocksOf(document: string): Promise<Block[]> {
  const text = await readFile(join(root, document), 'utf8')
  return [...text.matchAll(/^```(js|ts)\n(.*?)^```$/gms)].map(({ 1: language, 2: code = '', index }) => ({
    language: language as Block['language'],
    code,
    line: text.slice(0, index).split('\n').length + 1
  }))
}

/** The examples in the docstrings of a source, each until the next tag, paragraph or the end. */
async function examplesOf(source: string): Promise<Block[]> {
  const text = await readFile(join(root, source), 'utf8')
  return [...text.matchAll(/^ *\* @example\n((?: *\* [^@].*\n)+)/gm)].map(({ 1: code = '', index }) => ({
    language: 'js' as const,
    code: code.replace(/^ *\* /gm, ''),
    line: text.slice(0, index).split('\n').length + 1
  }))
}

async function documents(): Promise<string[]> {
  return [
    'README.md',
    ...(await readdir(join(root, 'docs'))).filter(name => name.endsWith('.md')).map(name => join('docs', name))
  ]
}

/** Makes a folder with what a user would have installed, and the declarations of Primus. */
async function installed(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'metroplex-declarations-'))
  using(() => rm(folder, { recursive: true, force: true }))
  await mkdir(join(folder, 'node_modules', 'primus'), { recursive: true })
  for (const name of ['ioredis', '@types'])
    await symlink(join(root, 'node_modules', name), join(folder, 'node_modules', name))
  await symlink(root, join(folder, 'node_modules', 'metroplex'))
  await writeFile(
    join(folder, 'node_modules', 'primus', 'package.json'),
    JSON.stringify({ name: 'primus', types: 'index.d.ts' })
  )
  await writeFile(join(folder, 'node_modules', 'primus', 'index.d.ts'), PRIMUS)
  for (const name of ['express', 'fastify']) {
    await mkdir(join(folder, 'node_modules', name))
    await writeFile(join(folder, 'node_modules', name, 'package.json'), '{ "types": "index.d.ts" }')
    await writeFile(join(folder, 'node_modules', name, 'index.d.ts'), 'declare const made: any\nexport = made')
  }
  await mkdir(join(folder, 'node_modules', 'primus-rooms'))
  await writeFile(join(folder, 'node_modules', 'primus-rooms', 'package.json'), '{ "types": "index.d.ts" }')
  await writeFile(join(folder, 'node_modules', 'primus-rooms', 'index.d.ts'), 'export function server(): void')
  return folder
}

/** How examples are compiled: those in a page know the DOM and nothing of Node.js. */
type Kind = 'js' | 'ts' | 'page'

/** What the compiler says of files of a folder; empty when they are right. */
async function compile(folder: string, kind: Kind, files: readonly string[]): Promise<string> {
  // An example in JavaScript has no annotations: its parameters and what it catches may be anything.
  const annotated = kind === 'ts'
  const compilerOptions = {
    noEmit: true,
    strict: true,
    exactOptionalPropertyTypes: true,
    allowJs: true,
    checkJs: true,
    skipLibCheck: true,
    moduleDetection: 'force',
    noImplicitAny: annotated,
    useUnknownInCatchVariables: annotated,
    module: 'nodenext',
    target: 'es2022',
    lib: kind === 'page' ? ['es2023', 'dom'] : ['es2023'],
    types: kind === 'page' ? [] : ['node']
  }
  const project = join(folder, `${kind}.json`)
  await writeFile(project, JSON.stringify({ compilerOptions, files }))
  const tsc = join(root, 'node_modules', '.bin', 'tsc')
  return run(tsc, ['--project', project], { cwd: folder }).then(
    ({ stdout }) => stdout,
    (error: unknown) => (error as { stdout: string }).stdout
  )
}

/**
 * Two things that are no fault of an example: that a variable of the environment may be unset, and that @types/node has
 * `node:cluster` as an ES module alone.
 */
function compilable(code: string): string {
  return code
    .replaceAll(/process\.env\.\w+/g, "String('set')")
    .replaceAll("require('node:cluster')", "require('node:cluster').default")
}

/** Its name in its folder: what its first line says, else the line of the document at which it stands. */
function nameOf({ code, line }: Block, kind: Kind): string {
  const named = /^\/\/ (\S+\.(?:js|d\.ts))\n/.exec(code)?.[1]
  if (named !== undefined) return named
  // With `await` outside of functions it can only be an ES module.
  const module = /^ {0,2}\S.*\bawait\b/m.test(code) && !/\bfunction\b|=>/.test(code)
  return `line-${line}.${kind === 'ts' ? 'mts' : module ? 'mjs' : 'js'}`
}

function kindOf({ language, code }: Block): Kind {
  return language === 'js' && /\/\/ in the page|window\./.test(code) ? 'page' : language
}

describe('the declarations', function () {
  this.timeout(120_000)

  it('compile each example of the documents', async () => {
    const folder = await installed()
    await writeFile(join(folder, 'around.d.ts'), AROUND)
    await writeFile(join(folder, 'page.d.ts'), PAGE)
    const files: Record<Kind, string[]> = { js: ['around.d.ts'], page: ['page.d.ts'], ts: [] }
    const lines = new Map<string, number>()
    const [server] = await blocksOf('README.md')
    for (const document of await documents()) {
      const inside = document.replace('.md', '')
      await mkdir(join(folder, inside), { recursive: true })
      await writeFile(join(folder, inside, 'server.js'), server?.code ?? '')
      for (const block of await blocksOf(document)) {
        const kind = kindOf(block)
        const file = join(inside, nameOf(block, kind))
        await writeFile(join(folder, file), compilable(block.code))
        files[kind].push(file)
        lines.set(file, block.line)
      }
    }
    const said = await Promise.all((Object.keys(files) as Kind[]).map(kind => compile(folder, kind, files[kind])))
    const where = said
      .join('')
      .replaceAll(
        /^([^(\s]+)\((\d+),/gm,
        (_, file: string, line: string) => `${dirname(file)}.md:${Number(line) + (lines.get(file) ?? 0) - 1} (${file},`
      )
    assume(where).equals('')
    assume(lines.size).is.above(20)
  })

  it('compile each example of the public docstrings', async () => {
    const folder = await installed()
    await writeFile(join(folder, 'program.d.ts'), PROGRAM)
    const files = ['program.d.ts']
    for (const source of PUBLIC) {
      for (const { code, line } of await examplesOf(source)) {
        const file = `${source.replaceAll('/', '_')}-${line}.mjs`
        await writeFile(join(folder, file), compilable(code))
        files.push(file)
      }
    }
    assume(await compile(folder, 'js', files)).equals('')
    assume(files.length).is.above(15)
  })
})
