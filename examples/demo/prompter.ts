import type { Redis } from 'ioredis'
import type { Result } from 'metroplex'
import type Primus from 'primus'
import { deadline } from '../../test/support/wait'
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
  /** Send the clients elsewhere, leave the cluster, and end. */
  readonly leave: () => Promise<void>
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

/** How long a server may take to leave once nobody is there to wait for it, in ms. */
const PATIENCE = 3000

/**
 * Does what `npm start` says over IPC, and tells it what `primus.metroplex` emits.
 *
 * When `npm start` is gone without a goodbye, the server leaves by itself, and takes what there is of Redis with it.
 */
export function obey(primus: Primus, redis: Redis): void {
  const orders: Orders = {
    spark: id => primus.metroplex.spark(id),
    servers: () => primus.metroplex.servers(true),
    count: () => primus.metroplex.count(),
    forward: (id, msg) => primus.forward.spark(id, msg),
    broadcast: msg => primus.forward.broadcast(msg),
    leave: () => leave(primus)
  }
  // metroplex tells it by an event of its own.
  redis.on('error', () => undefined)
  for (const event of EVENTS) {
    primus.metroplex.on(event, (...args: unknown[]) => {
      tell({ event, args: args.map(arg => arg instanceof Error ? arg.message : arg) })
    })
  }

  let left = false
  process.on('message', (order: Order) => {
    const fn = orders[order.name] as (...args: readonly unknown[]) => Promise<unknown>
    fn(...order.args).then(
      value => {
        tell({ id: order.id, value })
        if (order.name !== 'leave') return
        left = true
        redis.disconnect()
        process.disconnect()
      },
      (error: unknown) => { tell({ id: order.id, error: String(error) }) }
    )
  })
  process.once('disconnect', () => {
    if (left) return
    deadline(leave(primus), PATIENCE, 'the end')
      .catch(() => undefined)
      .then(() => deadline(clear(redis, part()), PATIENCE, 'the end of Redis'))
      .then(() => process.exit(0), () => process.exit(1))
  })
}

function leave(primus: Primus): Promise<void> {
  return new Promise((resolve, reject) => {
    primus.destroy({ reconnect: true }, error => {
      if (error) reject(error)
      else resolve()
    })
  })
}

function tell(report: Report): void {
  if (process.connected) process.send?.(report, undefined, undefined, () => undefined)
}
