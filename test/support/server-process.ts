/**
 * The child of `startServer`: a Primus server with metroplex, driven over IPC.
 *
 * It obeys the orders of `server-wire.ts` one by one as they come, and ends by itself
 * when its parent has gone. With `SETTINGS` in its environment it starts by itself, and
 * ends as its supervisor tells it.
 */
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { takeCoverage } from 'node:v8'
import { runInThisContext } from 'node:vm'
import type { Cluster, Redis } from 'ioredis'
import { forgetModules } from './modules'
import { isAlarming } from './accidents'
import { load, loadPlugin, loadPrimus, type PrimusUnderTest } from './primus-types'
import { connectTo, type Ioredis } from './redis-target'
import { pack, SETTINGS, type Order, type Report, type ServerSettings } from './server-wire'

type Anything = (...args: unknown[]) => unknown

const realDate = Date
// For a test that has the clock jump while the server runs.
Object.assign(globalThis, { shiftClock })

const globals: ReadonlySet<string> = new Set(Object.getOwnPropertyNames(globalThis))

const events = ['register', 'unregister', 'error', 'join', 'leave', 'reap', 'heal', 'state', 'drain', 'balance']

let primus: PrimusUnderTest | undefined
let redis: Redis | Cluster | undefined
const given = process.env[SETTINGS]
let leaving = given !== undefined
let crashed = false

process.on('uncaughtException', crash)
process.on('warning', warning => {
  if (isAlarming(warning)) crash(warning, 'warning')
})
process.on('disconnect', () => {
  if (!leaving) process.exit(0)
})
process.on('message', (order: Order) => {
  // A supervisor has other things to say.
  if (!('verb' in order)) return
  if (order.verb === 'leave') {
    leave(order.reusable)
    return
  }
  obey(order)
    .then(value => report({ kind: 'value', id: order.id, value }))
    // Also when the value could not travel.
    .catch((error: unknown) => report({ kind: 'error', id: order.id, error: (error as Refusal).packed ?? pack(error) }))
})

if (given !== undefined) {
  start(JSON.parse(given) as ServerSettings).catch((error: unknown) => crash(error, 'start'))
}

/** A callback's error together with what it was given beside it. */
type Refusal = Error & { packed?: ReturnType<typeof pack> }

async function obey(order: Exclude<Order, { verb: 'leave' }>): Promise<unknown> {
  if (order.verb === 'start') return start(order.settings)
  if (!primus) throw new Error('the server has not been started')
  switch (order.verb) {
    case 'call':
      return call(primus, order.path, order.args, order.style)
    case 'run':
      return collect(await compile(order.source)(primus, ...order.args))
    case 'sparks':
      return Object.keys(primus.connections)
    case 'destroy':
      return destroy(primus, order.options)
  }
}

async function start(settings: ServerSettings): Promise<{ port: number }> {
  if (settings.clockShift) shiftClock(settings.clockShift)

  const { namespace, ...target } = settings.redis
  redis = connectTo(target, load(settings.ioredis === 5 ? 'ioredis5' : 'ioredis') as Ioredis)

  const options: Record<string, unknown> = { transformer: 'websockets', redis, ...settings.primus }
  if (namespace !== undefined) options['namespace'] = namespace
  if (settings.prepare !== undefined) await compile(settings.prepare)(options)

  const page = settings.page
    ? (_req: unknown, res: ServerResponse): void => {
        res.end(String(process.pid))
      }
    : undefined
  const server = settings.secure === undefined ? createServer(page) : createSecureServer(settings.secure, page)
  primus = new (loadPrimus())(server, options)
  if (settings.omega === 'before') primus.plugin('omega-supreme', loadPlugin('omega-supreme'))
  primus.plugin('metroplex', loadPlugin(settings.metroplex))
  if (settings.omega === 'after') primus.plugin('omega-supreme', loadPlugin('omega-supreme'))

  for (const event of events.filter(event => !settings.mute.includes(event))) {
    primus.metroplex.on(event, (...args) => {
      report({ kind: 'event', event, args: args.map(arg => (arg instanceof Error ? pack(arg) : arg)) })
    })
  }

  server.listen(settings.port, settings.host)
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port }
}

async function call(
  root: PrimusUnderTest,
  path: string,
  args: unknown[],
  style: 'promise' | 'callback'
): Promise<unknown> {
  let owner: unknown
  let member: unknown = root
  for (const name of path.split('.')) {
    owner = member
    member = (owner as Record<string, unknown> | undefined)?.[name]
  }
  if (typeof member !== 'function') {
    if (args.length > 0 || style === 'callback') throw new TypeError(`primus.${path} is not a function`)
    return member
  }
  const fn = member as Anything
  if (style === 'promise') return collect(await fn.apply(owner, args))
  return new Promise((resolve, reject) => {
    fn.apply(owner, [
      ...args,
      (error: unknown, result: unknown) => {
        if (error) reject(Object.assign(new Error('refused'), { packed: pack(error, result) }))
        else resolve(result)
      }
    ])
  })
}

/** Functions do not travel, iterators neither: collect what the latter yield. */
async function collect(value: unknown): Promise<unknown> {
  if (typeof value !== 'object' || value === null || !(Symbol.asyncIterator in value)) return value
  const values: unknown[] = []
  for await (const one of value as AsyncIterable<unknown>) values.push(one)
  return values
}

function destroy(root: PrimusUnderTest, options: Parameters<PrimusUnderTest['destroy']>[0]): Promise<void> {
  return new Promise((resolve, reject) => {
    root.destroy(options ?? {}, error => (error ? reject(error) : resolve()))
  })
}

/**
 * From here on only what the plugin left behind keeps this process alive. When nothing does, it ends; or, if it is
 * reusable and nothing crashed in it, it becomes as new and waits for its next start.
 */
function leave(reusable: boolean): void {
  leaving = true
  redis?.disconnect()
  if (!reusable || crashed) {
    process.disconnect()
    return
  }
  process.channel?.unref()
  process.once('beforeExit', () => {
    process.channel?.ref()
    // What this process does next is added to it, also when it is killed.
    if (process.env['NODE_V8_COVERAGE'] !== undefined) takeCoverage()
    renew()
    report({ kind: 'idle' })
  })
}

/**
 * Forget all that was loaded and changed since this process began, but for modules without a state that tests can see.
 */
function renew(): void {
  leaving = false
  primus = redis = undefined
  globalThis.Date = realDate
  for (const name of Object.getOwnPropertyNames(globalThis)) {
    if (!globals.has(name)) Reflect.deleteProperty(globalThis, name)
  }
  forgetModules()
}

function compile(source: string): Anything {
  return runInThisContext(`(${source})`, { filename: 'sent-by-a-test.js' }) as Anything
}

/** Shows this process another time of day; timers and `performance` go on as they are. */
function shiftClock(shift: number): void {
  globalThis.Date = new Proxy(realDate, {
    construct: (target, args: unknown[]) =>
      Reflect.construct(target, args.length > 0 ? args : [target.now() + shift]) as Date,
    get: (target, key) => (key === 'now' ? () => target.now() + shift : (Reflect.get(target, key) as unknown))
  })
}

function crash(error: unknown, origin: string): void {
  crashed = true
  report({ kind: 'crash', origin, error: pack(error) })
}

function report(message: Report): void {
  // A parent that dies meanwhile is what 'disconnect' is for.
  if (process.connected) process.send?.(message, undefined, undefined, () => undefined)
}
