import { now, within } from '../deadline'
import { asError, MetroplexError } from '../errors'
import type { Patience } from './questions'
import type { Terms } from './terms'

/** Who there is, for questions to all. */
export interface Everybody {
  /** Our address, also while we only try to have it; `''` while there is none. */
  readonly own: string
  /** The addresses of all peers that live; those known last when that is not told within so many ms. */
  peers(ms: number): Promise<string[]>
}

/** A server that is to be asked. */
export interface Addressee {
  readonly address: string
  /** Whether it is this one, by whatever address. */
  readonly here?: boolean
}

/** Whom a question to all, or to those who are named, is for; and why not all of them are known, if so. */
export async function everybody(
  cluster: Everybody, { to, self }: Terms, { deadline, signal }: Patience
): Promise<{ servers: readonly Addressee[]; failure?: Error }> {
  if (to !== undefined) return { servers: to.map(address => ({ address })) }
  const { own } = cluster
  const us = self && own !== '' ? [{ address: own, here: true }] : []
  const left = deadline - now()
  try {
    // Half of the time is left for the question itself.
    const peers = await within(cluster.peers(left / 2), left, () => new MetroplexError('EREGISTRY', 'It was not known within the deadline who else there is.'), signal)
    return { servers: [...us, ...peers.filter(address => us.length === 0 || address !== own).map(address => ({ address }))] }
  } catch (error) {
    return { servers: us, failure: asError(error) }
  }
}
