import { now, within } from '../deadline'
import { MetroplexError } from '../errors'

/** What is known of where sparks are. */
export interface Located {
  /** Our own address; `''` while we have none. */
  readonly self: string
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
 * @param ask rejects with `ENOSPARK` when the spark is not there
 * @throws MetroplexError `ENOSPARK` when nobody has it, `EREGISTRY` when that cannot be told; else what `ask` rejects with
 */
export async function askHolder<T>(where: Located, id: string, deadline: number, ask: (address: string) => Promise<T>): Promise<T> {
  const known = where.owns(id) ? where.self : where.recent(id)
  for (const fresh of [false, true]) {
    const address = fresh ? await found(where, id, true, deadline) : known ?? await found(where, id, false, deadline)
    try {
      return await ask(address)
    } catch (error) {
      if (fresh || !(error instanceof MetroplexError) || error.code !== 'ENOSPARK') throw error
    }
  }
  throw unheld(id)
}

/** The error for a spark that nobody has. */
export function unheld(id: string): MetroplexError {
  return new MetroplexError('ENOSPARK', `No server holds the spark ${id}.`)
}

async function found(where: Located, id: string, fresh: boolean, deadline: number): Promise<string> {
  const late = (): Error => new MetroplexError('EREGISTRY', `The registry did not say within the deadline where the spark ${id} is.`, { maybe: false })
  const [place] = await within(where.places([id], fresh), Math.max(0, deadline - now()), late)
  if (place === null) throw unheld(id)
  if (place === undefined) throw new MetroplexError('EREGISTRY', `The registry cannot be asked where the spark ${id} is.`, { maybe: false })
  return place
}
