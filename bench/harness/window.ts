import { now } from './clock'

/** What came of some calls. Times are those of `now()`. */
export interface Ran {
  /** Operations that succeeded: one call may be many. */
  operations: number
  /** Calls that failed, and why the first did. */
  failed: number
  failure?: string
  /** When the first call was made, and when the last one had called back. */
  began: number
  ended: number
}

/** A callback to call once: with an error, or with the number of operations that succeeded. */
export type Done = (error: Error | null | undefined, operations: number) => void

/**
 * Calls something again and again for a while, a fixed number of calls at a time: the next one begins when one has called back.
 *
 * Resolves when all have called back. A call that fails is counted, and followed by another like any other.
 */
export function keepInFlight(inFlight: number, ms: number, call: (done: Done) => void): Promise<Ran> {
  return new Promise(resolve => {
    const began = now()
    const end = began + ms
    const ran: Ran = { operations: 0, failed: 0, began, ended: began }
    let open = inFlight
    const done: Done = (error, operations) => {
      if (error === null || error === undefined) {
        ran.operations += operations
      } else {
        ran.failed++
        ran.failure ??= String(error)
      }
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
