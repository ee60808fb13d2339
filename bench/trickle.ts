/**
 * Lone messages to sparks of other servers, at a constant rate, however long each takes: an open loop.
 *
 * Other works keep calls in flight, so that a subject that batches has something to batch. Here it has not.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { forwardToOne, type Noted } from './forward'
import { ableTo } from './harness/actor'
import { now } from './harness/clock'
import { arrivalsSince, awaitReceipts, noteReceipts } from './harness/crowd'
import { quantile } from './harness/figures'
import { nextMessage } from './harness/message'
import { Observer } from './harness/observer'
import { countSocketCalls, socketCalls, type SocketCalls } from './harness/socket-calls'
import type { Measured, Stage } from './harness/stage'
import type { Done } from './harness/window'
import type { Scale, Work } from './harness/work'
import { former, type Subject } from './subjects'

const CALLS = require.resolve('./harness/socket-calls')
const CROWD = require.resolve('./harness/crowd')
/** So much longer than rows of other works is one measured: at these rates little happens in a second. */
const LONGER = 3
/** As `forward` warms up. */
const COLD = 2
/** The share of the warming up that a later row takes. */
const WARM = 1 / 4
/**
 * Milliseconds without a message until the missing ones are given up, and after the last one, for one that comes twice.
 */
const QUIET = 3000
const AFTER = 50

/** What becomes of the result of a call. */
type Way = 'by callback' | 'no caller waits'

/** What runs in the sender. */
export interface Trickling {
  ids: readonly string[]
  /** Messages a second. */
  rate: number
  ms: number
  way: Way
}

/** One server with clients, or several; and the rates at which they get messages, all together. */
interface Trickle {
  readonly to: string
  readonly peers: number
  /** Of all peers together. */
  readonly sparks: (scale: Scale) => number
  readonly rates: readonly number[]
}

const few = ({ clients }: Scale): number => Math.min(400, clients)
const many = ({ size }: Scale): number => 10_000 * size
/** More messages a second do not get through 1.0.2 in time, so that nothing but its backlog would be measured. */
const MOST_OF_FORMER = 1000

/** All of them; their command is `trickle`. */
export const trickles: readonly Work[] = [
  workOf({ to: 'one peer', peers: 1, sparks: few, rates: [200, 1000, 4000] }),
  workOf({ to: 'six peers', peers: 6, sparks: few, rates: [500, 2000] }),
  workOf({ to: 'one of many sparks', peers: 1, sparks: many, rates: [200, 1000] })
]

function workOf({ to, peers, sparks, rates }: Trickle): Work {
  return {
    name: `trickle to ${to}`,
    command: 'trickle',
    cast: scale => ({ servers: peers + 1, clients: Math.max(1, Math.ceil(sparks(scale) / peers)), remote: true }),

    async *measure(stage, scale) {
      const sent = await Trickler.open(stage, scale)
      const { subject } = stage
      for (const rate of subject === former ? rates.filter(rate => rate <= MOST_OF_FORMER) : rates) {
        for (const way of waysOf(subject)) {
          const measured = await sent.measure(rate, way)
          // It calls nothing back: its row is to be compared with both of ours.
          for (const row of subject.kind === 'socket.io' ? WAYS : [way])
            yield { ...measured, row: `${rate} a second, ${row}` }
        }
      }
    }
  }
}

const WAYS: readonly Way[] = ['by callback', 'no caller waits']

/** The ways in which a subject is called. 1.x needs its callback. */
function waysOf(subject: Subject): readonly Way[] {
  return subject.kind === 'primus' && !subject.omega ? WAYS : ['by callback']
}

/** Measures rows on one stage. */
class Trickler {
  private constructor(
    private readonly stage: Stage,
    private readonly scale: Scale,
    private readonly observer: Observer,
    /**
     * The sparks in the order in which messages go to them, so that each peer has its turn; and the clients of them.
     */
    private readonly sparks: readonly { readonly id: string; readonly client: number }[]
  ) {}

  /** Resolves when all is warm, and the sockets of all servers are counted. */
  static async open(stage: Stage, scale: Scale): Promise<Trickler> {
    const { sender, receivers } = stage
    for (const server of [sender, ...receivers]) await server.run(CALLS, countSocketCalls, undefined)
    const [, ...ofPeers] = stage.ids
    const each = ofPeers[0]?.length ?? 0
    const sparks = Array.from({ length: each }, (_, i) =>
      ofPeers.map((ids, peer) => ({ id: ids[i] ?? '', client: peer * each + i }))
    ).flat()
    const window = { inFlight: 64, by: 'receipt', ms: COLD * scale.warm } as const
    const ids = sparks.map(({ id }) => id)
    await sender.run(require.resolve('./forward'), forwardToOne, { ids, window })
    return new Trickler(stage, scale, new Observer(stage.redis), sparks)
  }

  /** One row. What is missing, came twice or in the wrong order has failed. */
  async measure(rate: number, way: Way): Promise<Measured> {
    const { stage, scale } = this
    const { sender, crowd } = stage
    const ids = this.sparks.map(({ id }) => id)
    const send = (ms: number): Promise<Noted> => sender.run(__filename, trickle, { ids, rate, ms, way })
    await send(scale.warm * WARM)
    await crowd.run(CROWD, noteReceipts, undefined)
    await crowd.run(CROWD, awaitReceipts, { count: Infinity, quiet: AFTER })
    await crowd.run(CROWD, noteReceipts, undefined)
    let checked: Checked | undefined
    let before: Map<string, SocketCalls> | undefined
    let after: Map<string, SocketCalls> | undefined
    const measured = await stage.measure({
      row: `${rate} a second, ${way}`,
      operation: 'message',
      run: async () => {
        before = await this.#calls()
        const noted = await send(LONGER * scale.ms)
        await crowd.run(CROWD, awaitReceipts, { count: noted.sent.length, quiet: QUIET })
        after = await this.#calls()
        await sleep(AFTER)
        checked = check(
          noted,
          await crowd.run(CROWD, arrivalsSince, undefined),
          this.sparks.map(({ client }) => client)
        )
        return checked.ran
      }
    })
    const { cpu, operations } = measured
    const figures = Object.fromEntries(
      [...(after ?? [])].flatMap(([process, { writes, reads }]) => [
        [`${process}, socket writes a message`, (writes - (before?.get(process)?.writes ?? 0)) / operations],
        [`${process}, socket reads a message`, (reads - (before?.get(process)?.reads ?? 0)) / operations]
      ])
    )
    const { took = [], wrong = 0 } = checked ?? {}
    return {
      ...measured,
      latency: { p50: quantile(took, 0.5), p99: quantile(took, 0.99), max: quantile(took, 1) },
      figures: {
        'servers and Redis, µs of CPU a message': (cpu.sender ?? 0) + (cpu.receivers ?? 0) + (cpu.redis ?? 0),
        ...figures,
        ...(wrong > 0 && { 'messages missing, doubled or out of order': wrong })
      }
    }
  }

  /** The calls on sockets until now, of each process. */
  async #calls(): Promise<Map<string, SocketCalls>> {
    const { sender, receivers } = this.stage
    const each = await Promise.all(receivers.map(receiver => receiver.run(CALLS, socketCalls, undefined)))
    return new Map([
      ['sender', await sender.run(CALLS, socketCalls, undefined)],
      ['receivers', each.reduce((sum, one) => ({ writes: sum.writes + one.writes, reads: sum.reads + one.reads }))],
      ['Redis', await this.observer.socketCalls()]
    ])
  }
}

/** What came of the messages of a row. */
interface Checked {
  readonly ran: Noted
  /** Milliseconds from the call to the client, of each that arrived. */
  readonly took: readonly number[]
  /** How many did not arrive, arrived twice or at another client, or after a later one to the same client. */
  readonly wrong: number
}

/** Each message has to arrive once, at its client, after the earlier ones to that client. */
export function check(noted: Noted, arrivals: Float64Array, clients: readonly number[]): Checked {
  const { first, sent } = noted
  const took = new Map<number, number>()
  const latest = new Map<number, number>()
  let wrong = 0
  let ended = noted.ended
  for (let i = 0; i < arrivals.length; i += 3) {
    const [n = NaN, at = NaN, client = NaN] = arrivals.subarray(i, i + 3)
    const index = n - first
    const expected = index >= 0 && index < sent.length && clients[index % clients.length] === client
    if (!expected || took.has(index) || index < (latest.get(client) ?? 0)) wrong++
    latest.set(client, Math.max(index, latest.get(client) ?? 0))
    if (expected) took.set(index, at - (sent[index] ?? NaN))
    ended = Math.max(ended, at)
  }
  wrong += sent.length - took.size
  const failure = noted.failure ?? (wrong > 0 ? 'messages are missing, doubled or out of order' : undefined)
  const ran = {
    ...noted,
    operations: took.size,
    failed: noted.failed + wrong,
    ended,
    ...(failure !== undefined && { failure })
  }
  return { ran, took: [...took.values()], wrong }
}

/** In the server: at a rate, and when. Resolves when all calls that call back have done so. */
export async function trickle({ ids, rate, ms, way }: Trickling): Promise<Noted> {
  const send = way === 'by callback' ? ableTo('forwardOne') : ignoring(ableTo('forwardAndForget'))
  const count = Math.max(1, Math.round((rate * ms) / 1000))
  const sent = new Float64Array(count)
  const ran: Noted = { operations: 0, failed: 0, began: now(), ended: 0, first: 0, sent }
  let calls = 0
  let open = 0
  await new Promise<void>(resolve => {
    const done: Done = error => {
      open--
      if (error !== null && error !== undefined) {
        ran.failed++
        ran.failure ??= String(error)
      }
      if (calls === count && open === 0) resolve()
    }
    const tick = (): void => {
      const due = Math.min(count, 1 + Math.floor(((now() - ran.began) * rate) / 1000))
      while (calls < due) {
        const message = nextMessage()
        if (calls === 0) ran.first = message.n
        sent[calls] = now()
        open++
        send(ids[calls++ % ids.length] ?? '', message, done)
      }
      if (calls < count) setTimeout(tick, ran.began + (calls * 1000) / rate - now())
      else if (open === 0) resolve()
    }
    tick()
  })
  return { ...ran, ended: now() }
}

type Send = (id: string, message: ReturnType<typeof nextMessage>, done: Done) => void

function ignoring(forward: (id: string, message: ReturnType<typeof nextMessage>) => void): Send {
  return (id, message, done) => {
    forward(id, message)
    done(null, 1)
  }
}
