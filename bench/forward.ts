/**
 * A message to one spark of another server: how many there can be, what they cost, and how soon they are with the
 * client.
 */
import { ableTo } from './harness/actor'
import { now } from './harness/clock'
import { noteReceipts, receiptsSince } from './harness/crowd'
import { quantile } from './harness/figures'
import { nextMessage } from './harness/message'
import { keep, type Ran, type Window } from './harness/window'
import type { Work } from './harness/work'

const CROWD = require.resolve('./harness/crowd')
const CLIENTS = 100
/**
 * Times as long as other works warm up: with so few calls a second it takes seconds until all that runs is compiled,
 * and a third less CPU is used.
 */
const COLD = 2

/** What also tells when each message left. */
export interface Noted extends Ran {
  /** The number of the first message. */
  first: number
  /** When each was handed to `forward`, by `now()`. */
  sent: Float64Array
}

export const forward: Work = {
  name: 'forward',
  cast: () => ({ servers: 2, clients: CLIENTS }),

  async *measure(stage, { ms, warm, most }) {
    const {
      sender,
      crowd,
      subject,
      ids: [, theirs = []]
    } = stage
    const common = { operation: 'message', delivers: true, ms, warm: COLD * warm }

    const rows: readonly (Omit<Window, 'ms'> & { row: string })[] = [
      { row: '64 in flight, by receipt', inFlight: 64, by: 'receipt' },
      { row: `${most} in flight, by receipt`, inFlight: most, by: 'receipt' },
      ...(subject.kind === 'socket.io' ? [] : [{ row: '64 in flight', inFlight: 64 }])
    ]
    for (const { row, ...window } of rows) {
      yield await stage.row({
        ...common,
        row,
        run: ms => sender.run(__filename, forwardToOne, { ids: theirs, window: { ...window, ms } })
      })
    }

    let noted: Noted | undefined
    const measured = await stage.row({
      ...common,
      row: '1 in flight, by receipt',
      run: async ms => {
        await crowd.run(CROWD, noteReceipts, undefined)
        return (noted = await sender.run(__filename, forwardAndNote, { ids: theirs, ms }))
      }
    })
    const took = latencies(noted, await crowd.run(CROWD, receiptsSince, undefined))
    yield { ...measured, latency: { p50: quantile(took, 0.5), p99: quantile(took, 0.99) } }
  }
}

/** Milliseconds from the call to the client. */
function latencies(noted: Noted | undefined, receipts: Float64Array): number[] {
  if (noted === undefined) return []
  const { first, sent } = noted
  return Array.from(
    { length: receipts.length / 2 },
    (_, i) => (receipts[2 * i + 1] ?? NaN) - (sent[(receipts[2 * i] ?? NaN) - first] ?? NaN)
  )
}

/** In the server: to these sparks in turns. */
export function forwardToOne({ ids, window }: { ids: readonly string[]; window: Window }): Promise<Ran> {
  const forwardOne = ableTo('forwardOne')
  let turn = 0
  return keep(window, done => forwardOne(ids[turn++ % ids.length] ?? '', nextMessage(), done))
}

/** In the server: one after the other, and when. */
export async function forwardAndNote({ ids, ms }: { ids: readonly string[]; ms: number }): Promise<Noted> {
  const forwardOne = ableTo('forwardOne')
  const sent: number[] = []
  let first: number | undefined
  const ran = await keep({ inFlight: 1, ms, by: 'receipt' }, done => {
    const message = nextMessage()
    first ??= message.n
    sent.push(now())
    forwardOne(ids[sent.length % ids.length] ?? '', message, done)
  })
  return { ...ran, first: first ?? 0, sent: Float64Array.from(sent) }
}
