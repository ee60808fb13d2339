import type { Health, Metroplex } from '../../index'
import { metrics } from '../../lib/metrics'
import type { PrimusUnderTest } from './primus-types'
import type { ServerProcess } from './server'

/** What `health()` said, and from when on, in ms of a clock that all processes of this machine share. */
export interface Said extends Health {
  readonly at: number
  /** The state that the metrics have 1 for, as they were right after. */
  readonly gauge: string
}

/** The event by which a server in a process of its own reports what its `health()` says, each time it changes. */
export const EVENT = 'health'

/** How long a sampler pauses between two samples, in ms. */
export const PAUSE = 50

/** The time, in ms, on a clock that tests do not shift. */
export function clock(): number {
  return performance.timeOrigin + performance.now()
}

/** The state that metrics have 1 for. */
const GAUGE = /^metroplex_state\{state="(\w+)"\} 1$/m

/** The part of a sampler that others use. */
interface Sampler {
  held: boolean
  asking: Promise<unknown>
}

/** The globals of a process with a sampler. */
interface Sampled {
  samplers?: Record<string, Sampler>
}

/**
 * Asks a `health()` for as long as its process lives, and reports each change. Travels as source.
 *
 * @param of the global that has the Primus to ask; `''` for the first Primus of the process
 */
const sampling = (primus: PrimusUnderTest, of: string, event: string, pause: number, gauge: string): void => {
  // It is compiled without a module of its own.
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- there is no other way to the program's
  const main = process.mainModule as unknown as { require(name: string): { metrics: typeof metrics } }
  const scrape = main.require('../../lib/metrics').metrics
  const globals = globalThis as unknown as Record<string, { metroplex: Metroplex }> & Sampled
  const metroplex = of === '' ? (primus.metroplex as unknown as Metroplex) : globals[of]?.metroplex
  if (metroplex === undefined) throw new Error(`there is no ${of}`)
  const own: Sampler = { held: false, asking: Promise.resolve() }
  const samplers = (globals.samplers ??= {})
  samplers[of] = own
  let last = ''
  const next = (): void => {
    setTimeout(() => {
      if (own.held) next()
      else own.asking = ask()
    }, pause).unref()
  }
  const ask = async (): Promise<void> => {
    const at = performance.timeOrigin + performance.now()
    const health = await metroplex.health()
    // This process may have become another server meanwhile.
    if ((globalThis as Sampled).samplers !== samplers) return
    const said = { ...health, gauge: new RegExp(gauge, 'm').exec(await scrape(metroplex))?.[1] ?? '' }
    const now = JSON.stringify(said)
    if (now !== last) process.send?.({ kind: 'event', event, args: [{ at, of, ...said }] }, () => undefined)
    last = now
    if (!said.reasons.includes('This server has been destroyed.')) next()
  }
  own.asking = ask()
}

/** Sample `health()` in the process of a server. What it says is in the server's log. */
export async function sampleHealth(server: ServerProcess, of = '', pause = PAUSE): Promise<void> {
  await server.run(sampling, of, EVENT, pause, GAUGE.source)
}

/** Ask a server no `health()` while this runs, because a question to Redis or to the server would be in the way. */
export async function unsampled<T>(server: ServerProcess, task: () => Promise<T>): Promise<T> {
  await hold(server, true)
  try {
    return await task()
  } finally {
    await hold(server, false)
  }
}

async function hold(server: ServerProcess, held: boolean): Promise<void> {
  await server.run(async (_primus, held: boolean) => {
    const { samplers = {} } = globalThis as Sampled
    for (const one of Object.values(samplers)) {
      one.held = held
      if (held) await one.asking
    }
  }, held)
}

/** All that `health()` of a server has said since it is sampled, oldest first. */
export function saidBy(server: ServerProcess, of = ''): Said[] {
  return server.log
    .filter(({ event, args }) => event === EVENT && (args[0] as { of: string }).of === of)
    .map(({ args }) => args[0] as Said)
}

/** Sample `health()` of a metroplex in this process, until it is closed. @returns what it has said so far */
export function sampleHere(metroplex: Metroplex, pause = PAUSE): readonly Said[] {
  const log: Said[] = []
  let last = ''
  const ask = async (): Promise<void> => {
    const at = clock()
    const health = await metroplex.health()
    const said = { ...health, gauge: GAUGE.exec(await metrics(metroplex))?.[1] ?? '' }
    const text = JSON.stringify(said)
    if (text !== last) log.push({ at, ...said })
    last = text
    if (said.reasons.includes('This server has been destroyed.')) return
    setTimeout(() => {
      // It never rejects.
      ask().catch(() => undefined)
    }, pause).unref()
  }
  ask().catch(() => undefined)
  return log
}
