import { now, withTimeout } from '../common/async'
import { MetroplexError } from '../common/errors'

/** Finds the servers of sparks. */
export interface SparkLocator {
  /** The own address, also while the server only tries to register it; `''` while there is none. */
  readonly own: string
  /** Whether an id is connected here and not disowned. */
  owns(id: string): boolean
  /** The address of an id by its tag or from the cache; `undefined` when the registry would have to be asked. */
  recent(id: string): string | undefined
  /** The addresses of ids; `null`: none, `undefined`: unknown. With `fresh`, the cache is not used. */
  places(ids: readonly string[], fresh: boolean): Promise<(string | null | undefined)[]>
}

/**
 * Ask the server that holds a spark. When the spark has moved, look it up once more and ask again.
 *
 * @param ask rejects with `ENOSPARK` when the spark is not there; `here`: the spark is local
 * @throws MetroplexError `ENOSPARK` when no server has it, `EREGISTRY` when that is unknown; else the reason of `ask`
 */
export async function askOwner<T>(
  where: SparkLocator,
  id: string,
  deadline: number,
  ask: (address: string, here?: boolean) => Promise<T>,
  signal?: AbortSignal
): Promise<T> {
  for (const fresh of [false, true]) {
    try {
      if (where.owns(id)) return await ask(where.own, true)
      const cached = fresh ? undefined : where.recent(id)
      return await ask(cached ?? (await lookUp(where, id, fresh, deadline, signal)))
    } catch (error) {
      if (fresh || !(error instanceof MetroplexError) || error.code !== 'ENOSPARK' || error.address === undefined)
        throw error
    }
  }
  throw noSuchSpark(id)
}

/** The error for a spark that no server has. */
export function noSuchSpark(id: string): MetroplexError {
  return new MetroplexError('ENOSPARK', `No server holds the spark ${id}.`)
}

async function lookUp(
  where: SparkLocator,
  id: string,
  fresh: boolean,
  deadline: number,
  signal: AbortSignal | undefined
): Promise<string> {
  const late = (): Error =>
    new MetroplexError('EREGISTRY', `Redis did not answer within the deadline which server holds the spark ${id}.`, {
      maybe: false
    })
  const [place] = await withTimeout(where.places([id], fresh), Math.max(0, deadline - now()), late, signal)
  if (place === null) throw noSuchSpark(id)
  if (place === undefined)
    throw new MetroplexError('EREGISTRY', `Redis cannot be asked which server holds the spark ${id}.`, { maybe: false })
  return place
}
