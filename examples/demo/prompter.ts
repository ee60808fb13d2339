import type { Redis } from 'ioredis'
import type { Result } from 'metroplex'
import { worker } from 'metroplex/supervisor'
import type Primus from 'primus'
import { deadline, once } from '../../test/support/wait'
import { part } from './part'
import { clear } from './registry'

/** What a server process does when it is told to. */
export interface Orders {
  /** Where a spark is. */
  readonly spark: (id: string) => Promise<string | null>
  /** All servers of the cluster, this one included. */
  readonly servers: () => Promise<string[]>
  /** How many sparks the cluster has. */
  readonly count: () => Promise<number>
  /** Forward a message to a spark, wherever it is. */
  readonly forward: (id: string, msg: unknown) => Promise<Result>
  /** Send a message to everybody. */
  readonly broadcast: (msg: unknown) => Promise<Result>
}

/** An order on its way to a server process. */
export interface Order {
  readonly id: number
  readonly name: keyof Orders
  readonly args: readonly unknown[]
}

/** What a server process tells: the answer to an order, or an event of `primus.metroplex`. */
export type Report =
  | { readonly id: number; readonly value?: unknown; readonly error?: string }
  | { readonly event: TheEvent; readonly args: readonly unknown[] }

/** The events of `primus.metroplex` that are told. */
export type TheEvent = typeof EVENTS[number]

const EVENTS = ['register', 'join', 'leave', 'reap', 'error'] as const

/** How long leaving the cluster, and cleaning up after it, may take once nobody is there to wait for it, in ms; both together less than a worker's grace. */
const PATIENCE = 1800

/**
 * Does what `npm start` says, and tells it what `primus.metroplex` emits. That this server ends when it is told to, and when `npm start` is gone, is metroplex's
 * own doing; but when it is gone without a goodbye, what there is of Redis is taken along here.
 */
export function obey(primus: Primus, redis: Redis): void {
  // metroplex tells it by an event of its own.
  redis.on('error', () => undefined)
  const me = worker()
  if (me === null) return

  const tell = (report: Report): void => { me.send(report) }
  for (const event of EVENTS) {
    primus.metroplex.on(event, (...args: unknown[]) => {
      tell({ event, args: args.map(arg => arg instanceof Error ? arg.message : arg) })
    })
  }
  const orders: Orders = {
    spark: id => primus.metroplex.spark(id),
    servers: () => primus.metroplex.servers(true),
    count: () => primus.metroplex.count(),
    forward: (id, msg) => primus.forward.spark(id, msg),
    broadcast: msg => primus.forward.broadcast(msg)
  }
  process.on('message', (order: Order) => {
    // The supervisor has things to say, too.
    const fn = orders[order.name] as ((...args: readonly unknown[]) => Promise<unknown>) | undefined
    fn?.(...order.args).then(
      value => { tell({ id: order.id, value }) },
      (error: unknown) => { tell({ id: order.id, error: String(error) }) }
    )
  })
  me.onDrain(async () => {
    if (process.connected) return
    await once(primus.metroplex, 'unregister', { within: PATIENCE }).catch(() => undefined)
    await deadline(clear(redis, part()), PATIENCE, 'the end of Redis')
  })
}
