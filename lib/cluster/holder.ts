import { now, within } from '../deadline'
import { MetroplexError } from '../errors'

/** What is known of where sparks are. */
export interface Located {
  /** Our address, also while we only try to have it; `''` while there is none. */
  readonly own: string
  /** Whether an id is connected here, and ours to answer for. */
  owns(id: string): boolean
  /** Where an id was a moment ago; `undefined` where that would have to be asked. */
  recent(id: string): string | undefined
  /** Where ids are; `null`: nowhere, `undefined`: that cannot be told. With `fresh`, the registry alone is asked. */
  places(ids: readonly string[], fresh: boolean): Promise<(string | null | undefined)[]>
}

/**
 * Ask something of the server that holds a spark; once more where it is found then, when it has moved.
 *
 * @param ask rejects with `ENOSPARK` when the spark is not there; `here`: it is ours
 * @throws MetroplexError `ENOSPARK` when nobody has it, `EREGISTRY` when that cannot be told; else what `ask` rejects with
 */
export async function askHolder<T>(
  where: Located, id: string, deadline: number, ask: (address: string, here?: boolean) => Promise<T>, signal?: AbortSignal
): Promise<T> {
  for (const fresh of [false, true]) {
    try {
      if (where.owns(id)) return await ask(where.own, true)
      const known = fresh ? undefined : where.recent(id)
      return await ask(known ?? await found(where, id, fresh, deadline, signal))
    } catch (error) {
      if (fresh || !(error instanceof MetroplexError) || error.code !== 'ENOSPARK' || error.address === undefined) throw error
    }
  }
  throw unheld(id)
}

/** The error for a spark that nobody has. */
export function unheld(id: string): MetroplexError {
  return new MetroplexError('ENOSPARK', `No server holds the spark ${id}.`)
}

async function found(where: Located, id: string, fresh: boolean, deadline: number, signal: AbortSignal | undefined): Promise<string> {
  const late = (): Error => new MetroplexError('EREGISTRY', `The registry did not say within the deadline where the spark ${id} is.`, { maybe: false })
  const [place] = await within(where.places([id], fresh), Math.max(0, deadline - now()), late, signal)
  if (place === null) throw unheld(id)
  if (place === undefined) throw new MetroplexError('EREGISTRY', `The registry cannot be asked where the spark ${id} is.`, { maybe: false })
  return place
}
