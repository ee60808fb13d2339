/**
 * The modules that a test server loads. Loading them is most of the CPU time that a server takes to start, so they can
 * be kept in a file, with the code that V8 has compiled of them, and a process can forget them to become as new.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import Module from 'node:module'
import { dirname } from 'node:path'
import { constants, Script } from 'node:vm'

/** In the environment of a server: the file in which modules are kept. It is written when the first server has left. */
export const MODULES = 'METROPLEX_TEST_MODULES'

/** What `node:module` has beside its documented interface, in all versions of Node.js that we support. */
interface Loader {
  _resolveFilename: (request: string, parent: NodeJS.Module | undefined, main: boolean, options?: unknown) => string
  _extensions: Record<'.js', (module: NodeJS.Module, filename: string) => void>
  _cache: Record<string, NodeJS.Module>
  wrap(source: string): string
}

/** Where the source and the compiled code of a module lie in the file, behind its head. */
interface Place {
  readonly at: number
  readonly source: number
  readonly code: number
  /** One byte a character suffices for most sources; the others have two. */
  readonly encoding: 'latin1' | 'utf16le'
}

interface Head {
  /** The files that requests lead to, by `key`. */
  readonly resolved: Record<string, string>
  readonly places: Record<string, Place>
}

/** Packages without a state that servers could see of each other, and whose loading is most of the work. */
const STATELESS = /[\\/]node_modules[\\/](?:ioredis|ioredis5|undici|ws)[\\/]/

/**
 * In the environment of another program that loads what servers load: has it load modules from the file as well, where
 * there is one.
 */
export function withModules(): { NODE_OPTIONS?: string } {
  const file = process.env[MODULES]
  return file !== undefined && existsSync(file) ? { NODE_OPTIONS: `--require ${JSON.stringify(__filename)}` } : {}
}

const importModuleDynamically = constants.USE_MAIN_CONTEXT_DEFAULT_LOADER
const loader = Module as unknown as Loader
const resolve = loader._resolveFilename
const extensions = loader._extensions
const load = extensions['.js']
let save: (() => void) | undefined

const path = process.env[MODULES]
// Code that is compiled without coverage does not count its blocks.
if (path !== undefined && process.env['NODE_V8_COVERAGE'] === undefined) {
  if (existsSync(path)) use(readFileSync(path))
  else save = record(path)
}

/** Forget all modules but those of this folder, so that the next `require` of each of them runs it again. */
export function forgetModules(): void {
  save?.()
  save = undefined
  for (const file of Object.keys(loader._cache)) {
    if (dirname(file) !== __dirname && !STATELESS.test(file)) Reflect.deleteProperty(loader._cache, file)
  }
}

function key(parent: NodeJS.Module | undefined, request: string): string {
  return `${parent?.path ?? ''}\0${request}`
}

/** From now on modules come from a file that `record` has written; others are loaded as ever. */
function use(file: Buffer): void {
  const start = 4 + file.readUInt32LE(0)
  const { resolved, places } = JSON.parse(file.toString('utf8', 4, start)) as Head
  loader._resolveFilename = (request, parent, main, options) =>
    (options === undefined ? resolved[key(parent, request)] : undefined) ?? resolve(request, parent, main, options)
  extensions['.js'] = (module, filename) => {
    const place = places[filename]
    if (place === undefined) {
      load(module, filename)
      return
    }
    const [source, code] = [start + place.at, start + place.at + place.source]
    const cachedData = file.subarray(code, code + place.code)
    const text = file.toString(place.encoding, source, code)
    run(module, filename, new Script(text, { filename, cachedData, importModuleDynamically }))
  }
}

/** Note all modules that are loaded from now on. @returns what writes them into a file */
function record(path: string): () => void {
  const resolved: Record<string, string> = {}
  const scripts = new Map<string, readonly [text: string, script: Script]>()
  loader._resolveFilename = (request, parent, main, options) => {
    const file = resolve(request, parent, main, options)
    if (options === undefined) resolved[key(parent, request)] = file
    return file
  }
  extensions['.js'] = (module, filename) => {
    const text = loader.wrap(readFileSync(filename, 'utf8'))
    const script = new Script(text, { filename, importModuleDynamically })
    scripts.set(filename, [text, script])
    run(module, filename, script)
  }
  return () => {
    const places: Record<string, Place> = {}
    const parts: Buffer[] = []
    let at = 0
    for (const [file, [text, script]] of scripts) {
      const encoding = /^[\0-\xff]*$/.test(text) ? 'latin1' : 'utf16le'
      const source = Buffer.from(text, encoding)
      // After the server has run: the code includes that of the functions which it has called.
      const code = script.createCachedData()
      places[file] = { at, source: source.length, code: code.length, encoding }
      parts.push(source, code)
      at += source.length + code.length
    }
    const head = Buffer.from(JSON.stringify({ resolved, places } satisfies Head))
    const size = Buffer.alloc(4)
    size.writeUInt32LE(head.length)
    // Other servers may read it at any time.
    const draft = `${path}.${process.pid}`
    writeFileSync(draft, Buffer.concat([size, head, ...parts]))
    renameSync(draft, path)
  }
}

/** Run a module of CommonJS, as the loader of Node.js does. */
function run(module: NodeJS.Module, filename: string, script: Script): void {
  const wrapper = script.runInThisContext() as (...args: unknown[]) => unknown
  const own = Object.assign((request: string): unknown => module.require(request), {
    resolve: (request: string, options?: unknown) => loader._resolveFilename(request, module, false, options),
    main: require.main,
    extensions,
    cache: loader._cache
  })
  Reflect.apply(wrapper, module.exports, [module.exports, own, module, filename, dirname(filename)])
}
