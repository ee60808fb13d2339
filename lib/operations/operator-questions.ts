import { rethrow } from '../common/callback'
import { MetroplexError } from '../common/errors'
import type { Settings } from '../common/options'
import type { Balanced, BalanceTerms } from '../common/types'
import { balanceTerms } from '../common/validate'
import { drainTerms, type DrainTerms } from '../drain/drain'
import type { Health, Statistics } from '../reporting/types'
import { VERSION } from '../reporting/version'
import type { RpcResponder } from '../rpc/responder'

/**
 * Asks a server how it is, to drain or to balance, as PROTOCOL.md says. Detail: a word, and for the last two the terms.
 * A server that answers it names the word among its kinds.
 */
export const OPERATE = 'operate'

/** What a server says of itself. */
export interface ServerStatus {
  /** Its own address; `''` while it has none. */
  readonly address: string
  readonly name: string
  readonly version: string
  /** The version of Node.js. */
  readonly node: string
  /** Its clock, in ms since 1970. */
  readonly time: number
  /** How long its process has been running, in ms. */
  readonly uptime: number
  /** The options that servers of one cluster have in common. */
  readonly terms: {
    readonly lease: number
    readonly interval: number
    readonly shards: number
    readonly transport: string
    readonly grace: number | null
  }
  /** How it evens out its sparks. Absent in releases that cannot be told to. */
  readonly balance?: {
    /** Whether a run goes on. */
    readonly active: boolean
    /** What the last run has done; `null` before its end. */
    readonly last: Balanced | null
  }
  readonly stats: Statistics
}

/** What is needed of this server to answer. */
export interface OperatedServer {
  readonly settings: Pick<Settings, 'name' | 'lease' | 'interval' | 'shards' | 'grace'>
  readonly shards: { readonly lives: { readonly address: string } }
  readonly gateway: { readonly name: string }
  readonly healthCheck: { health(): Promise<Health> }
  readonly drain: { run(terms: DrainTerms): Promise<unknown> }
  readonly balance: {
    readonly active: boolean
    readonly last: Balanced | undefined
    run(terms: BalanceTerms): Promise<unknown>
  }
}

/** Answer questions of operators. All that ask hold the secret of the cluster: their messages are signed. */
export function answerOperators(responder: RpcResponder, server: OperatedServer, stats: () => Statistics): void {
  responder.handle(OPERATE, ({ detail }) => {
    const [what, options] = Array.isArray(detail) ? (detail as unknown[]) : []
    if (what === 'status') return () => statusOf(server, stats())
    if (what === 'health') return () => server.healthCheck.health()
    const begin = what === 'drain' ? drain(server, options) : what === 'balance' ? balance(server, options) : undefined
    if (begin === undefined)
      throw new MetroplexError('EPROTOCOL', "An operator can ask for 'status', 'health', 'drain' or 'balance'.")
    return () => {
      begin().catch(rethrow)
      return statusOf(server, stats())
    }
  })
}

function drain(server: OperatedServer, options: unknown): () => Promise<unknown> {
  const terms = checked(() => drainTerms(options))
  return () => server.drain.run(terms)
}

function balance(server: OperatedServer, options: unknown): () => Promise<unknown> {
  const terms = checked(() => balanceTerms(options))
  return () => server.balance.run(terms)
}

function statusOf({ settings, shards, gateway, balance }: OperatedServer, stats: Statistics): ServerStatus {
  const { name, lease, interval, shards: number, grace = null } = settings
  return {
    address: shards.lives.address,
    name,
    version: VERSION,
    node: process.version,
    time: Date.now(),
    uptime: Math.round(process.uptime() * 1000),
    terms: { lease, interval, shards: number, transport: gateway.name, grace },
    balance: { active: balance.active, last: balance.last ?? null },
    stats
  }
}

/** Reads a status. @throws MetroplexError `EPROTOCOL` for an answer of another form */
export function readStatus(answer: unknown, address: string): ServerStatus {
  const { stats, terms, time } = (answer ?? {}) as Partial<Record<keyof ServerStatus, unknown>>
  const state: unknown = (stats as Partial<Statistics> | undefined)?.state
  if (typeof state === 'string' && typeof terms === 'object' && typeof time === 'number') return answer as ServerStatus
  throw new MetroplexError('EPROTOCOL', `${address} has answered something else than its status.`, { address })
}

/** @throws MetroplexError `EPROTOCOL`, because a peer has sent the terms */
function checked<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw new MetroplexError('EPROTOCOL', (error as Error).message, { cause: error })
  }
}
