/** A message to one spark of another server: how many there can be, what they cost, and how soon they are with the client. */
import { now } from './harness/clock'
import { noteReceipts, receiptsSince } from './harness/crowd'
import { quantile } from './harness/figures'
import { nextMessage } from './harness/message'
import { handed, server } from './harness/server'
import { keepInFlight, type Ran } from './harness/window'
import type { Work } from './harness/work'

const CROWD = require.resolve('./harness/crowd')
const CLIENTS = 100
/** Times as long as other works warm up: with so few calls a second it takes seconds until all that runs is compiled, and a third less CPU is used. */
const COLD = 4

/** What also tells when each message left. */
interface Noted extends Ran {
  /** The number of the first message. */
  first: number
  /** When each was handed to `forward`, by `now()`. */
  sent: Float64Array
}

export const forward: Work = {
  name: 'forward',
  cast: () => ({ servers: 2, clients: CLIENTS }),

  async *measure(stage, { ms, warm }) {
    const { sender, crowd, ids: [, theirs = []] } = stage
    const delivers = true

    const run = (ms: number): Promise<Ran> => sender.run(__filename, forwardToOne, { ids: theirs, inFlight: 64, ms })
    await stage.warm({ delivers, run: () => run(COLD * warm) })
    yield await stage.measure({ row: '64 in flight', operation: 'message', delivers, run: () => run(ms) })

    let noted: Noted | undefined
    const note = async (ms: number): Promise<Noted> => noted = await sender.run(__filename, forwardAndNote, { ids: theirs, ms })
    await stage.warm({ delivers, run: () => note(warm) })
    await crowd.run(CROWD, noteReceipts, undefined)
    const measured = await stage.measure({ row: '1 in flight', operation: 'message', delivers, run: () => note(ms) })
    const took = latencies(noted, await crowd.run(CROWD, receiptsSince, undefined))
    yield { ...measured, latency: { p50: quantile(took, 0.5), p99: quantile(took, 0.99) } }
  }
}

/** Milliseconds from the call to the client. */
function latencies(noted: Noted | undefined, receipts: Float64Array): number[] {
  if (noted === undefined) return []
  const { first, sent } = noted
  return Array.from({ length: receipts.length / 2 }, (_, i) => (
    (receipts[2 * i + 1] ?? NaN) - (sent[(receipts[2 * i] ?? NaN) - first] ?? NaN)
  ))
}

/** In the server: to these sparks in turns. */
export function forwardToOne({ ids, inFlight, ms }: { ids: readonly string[], inFlight: number, ms: number }): Promise<Ran> {
  const { forward } = server()
  let turn = 0
  return keepInFlight(inFlight, ms, done => {
    forward.spark(ids[turn++ % ids.length] ?? '', nextMessage(), handed(1, done))
  })
}

/** In the server: one after the other, and when. */
export async function forwardAndNote({ ids, ms }: { ids: readonly string[], ms: number }): Promise<Noted> {
  const { forward } = server()
  const sent: number[] = []
  let first: number | undefined
  const ran = await keepInFlight(1, ms, done => {
    const message = nextMessage()
    first ??= message.n
    sent.push(now())
    forward.spark(ids[sent.length % ids.length] ?? '', message, handed(1, done))
  })
  return { ...ran, first: first ?? 0, sent: Float64Array.from(sent) }
}
