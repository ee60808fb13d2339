import type { Subject } from '../subjects'
import { now } from './clock'
import { beginReceipts } from './receipts'

/** What came of some calls. Times are those of `now()`. */
export interface Ran {
  /** Operations that succeeded: one call may be many. */
  operations: number
  /** Calls that failed, and why the first did. */
  failed: number
  failure?: string
  /** When the first call was made, and when the last one was over. */
  began: number
  ended: number
}

/** A callback to call once: with an error, or with the number of operations that succeeded. */
export type Done = (error: Error | null | undefined, operations: number) => void

/** When a call is over, so that the next one is made: when it has called back, or when clients have got all it sent. */
export type By = 'callback' | 'receipt'

/** What is kept in flight, and how. */
export interface Window {
  inFlight: number
  ms: number
  /** @default 'callback' */
  by?: By
  /** Messages that come of a call, for who waits for receipts. @default 1 */
  each?: number
}

const bys: Readonly<Record<Subject['kind'], readonly By[]>> = {
  // What is compared with socket.io comes first, so that both are as warm.
  primus: ['receipt', 'callback'],
  // It has no callback.
  'socket.io': ['receipt'],
  http: ['receipt', 'callback'],
  ws: ['callback'],
  ioredis: ['callback']
}

/** The windows of these sizes in which a subject is measured. */
export function windows({ kind }: Subject, sizes: readonly number[]): { inFlight: number; by: By }[] {
  return bys[kind].flatMap(by => sizes.map(inFlight => ({ inFlight, by })))
}

/** What is in flight, as it is called in results: `'4 calls in flight, by receipt'`. */
export function named({ inFlight, by }: { inFlight: number; by: By }): string {
  return `${inFlight} ${inFlight === 1 ? 'call' : 'calls'} in flight${by === 'receipt' ? ', by receipt' : ''}`
}

/** Calls something again and again for a while, a fixed number of calls at a time. Resolves when all are over. */
export function keep({ inFlight, ms, by = 'callback', each = 1 }: Window, call: (done: Done) => void): Promise<Ran> {
  return by === 'callback' ? keepInFlight(inFlight, ms, call) : keepUnreceived(inFlight, ms, each, call)
}

/**
 * Calls something again and again for a while, a fixed number of calls at a time: the next one begins when one has
 * called back.
 *
 * Resolves when all have called back. A call that fails is counted, and followed by another like any other.
 */
export function keepInFlight(inFlight: number, ms: number, call: (done: Done) => void): Promise<Ran> {
  return new Promise(resolve => {
    const ran = start()
    const end = ran.began + ms
    let open = inFlight
    const done: Done = (error, operations) => {
      if (isError(error)) note(ran, error)
      else ran.operations += operations
      const at = now()
      if (at < end) {
        call(done)
      } else if (--open === 0) {
        ran.ended = at
        resolve(ran)
      }
    }
    for (let i = 0; i < inFlight; i++) call(done)
  })
}

/**
 * Calls something again and again for a while, a fixed number of calls at a time: the next one begins when clients have
 * got as many messages as come of one.
 *
 * Resolves when they have got all. What calls back is a failure, or nothing: of one that failed no message is expected.
 */
export async function keepUnreceived(
  inFlight: number,
  ms: number,
  each: number,
  call: (done: Done) => void
): Promise<Ran> {
  let told: (count: number) => void = () => undefined
  const receipts = await beginReceipts(count => told(count))
  const ran = start()
  const end = ran.began + ms
  let calls = 0
  const open = (): number => calls - ran.failed - Math.floor(ran.operations / each)
  await new Promise<void>(resolve => {
    const go = (): void => {
      ran.ended = now()
      for (; ran.ended < end && open() < inFlight; calls++) call(done)
      if (open() <= 0) resolve()
    }
    const done: Done = error => {
      if (!isError(error)) return
      // Not at once: a function that fails before it returns would be called for ever.
      setImmediate(() => {
        note(ran, error)
        go()
      })
    }
    told = count => {
      ran.operations += count
      go()
    }
    go()
  })
  receipts.end()
  return ran
}

function start(): Ran {
  const began = now()
  return { operations: 0, failed: 0, began, ended: began }
}

function note(ran: Ran, error: Error): void {
  ran.failed++
  ran.failure ??= String(error)
}

function isError(error: Error | null | undefined): error is Error {
  return error !== null && error !== undefined
}
