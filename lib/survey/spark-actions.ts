import type { Client } from '../api/cluster-client'
import type { Result } from '../common/types'

/** What a message, or an end, is for. */
export interface Target {
  readonly kind: 'spark' | 'user' | 'group' | 'all'
  /** None for all sparks. */
  readonly names: readonly string[]
}

/** How sparks are ended. */
export interface EndTerms {
  /** Whether their clients reconnect. */
  readonly reconnect: boolean
  /** How long users are kept out, in ms. */
  readonly for?: number | undefined
}

/** Send a message to all sparks of a target. */
export function sendTo({ forward }: Client, { kind, names }: Target, message: unknown): Promise<Result> {
  if (kind === 'all') return forward.broadcast(message)
  if (kind === 'spark') return forward.sparks(names, message)
  return kind === 'user' ? forward.user(names, message) : forward.group(names, message)
}

/** End all sparks of a target, which is not `all`. */
export function endSparks(client: Client, { kind, names }: Target, terms: EndTerms): Promise<Result> {
  const { reconnect, for: ms } = terms
  if (kind === 'user') return client.endUser(names, { reconnect, ...(ms !== undefined && { for: ms }) })
  return kind === 'group' ? client.endGroup(names, { reconnect }) : client.end(names, { reconnect })
}
