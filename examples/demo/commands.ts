import type { Redis } from 'ioredis'
import type { Result } from 'metroplex'
import { worker } from 'metroplex/supervisor'
import type Primus from 'primus'
import { deadline, once } from '../../test/support/wait'
import { cleanupTerms } from './cleanup-terms'
import { clear } from './redis'

/** The commands that a server process runs. */
export interface Commands {
  /** Where a spark is. */
  readonly spark: (id: string) => Promise<string | null>
  /** All servers of the cluster, this one included. */
  readonly servers: () => Promise<string[]>
  /** The number of sparks in the cluster. */
  readonly count: () => Promise<number>
  /** Forwards a message to a spark on any server. */
  readonly forward: (id: string, msg: unknown) => Promise<Result>
  /** Sends a message to all sparks. */
  readonly broadcast: (msg: unknown) => Promise<Result>
}

/** A command on its way to a server process. */
export interface Command {
  readonly id: number
  readonly name: keyof Commands
  readonly args: readonly unknown[]
}

/** The result of a command, or an event of `primus.metroplex`. */
export type Report =
  | { readonly id: number; readonly value?: unknown; readonly error?: string }
  | { readonly event: TheEvent; readonly args: readonly unknown[] }

/** The events of `primus.metroplex` that are reported. */
export type TheEvent = (typeof EVENTS)[number]

const EVENTS = ['register', 'join', 'leave', 'reap', 'error'] as const

/**
 * How long leaving the cluster and cleaning up may take when the supervisor has died, in ms; together less than a
 * worker's grace period.
 */
const PATIENCE = 1800

/**
 * Runs the commands of `npm start`, and reports the events of `primus.metroplex` to it.
 *
 * metroplex itself ends the server when the supervisor tells it to, or has died. After the death of the supervisor this
 * also cleans up Redis.
 */
export function runCommands(primus: Primus, redis: Redis): void {
  // The event `ready` of the supervisor reports this.
  redis.on('error', () => undefined)
  const me = worker()
  if (me === null) return

  const tell = (report: Report): void => {
    me.send(report)
  }
  for (const event of EVENTS) {
    primus.metroplex.on(event, (...args: unknown[]) => {
      tell({ event, args: args.map(arg => (arg instanceof Error ? arg.message : arg)) })
    })
  }
  const commands: Commands = {
    spark: id => primus.metroplex.spark(id),
    servers: () => primus.metroplex.servers(true),
    count: () => primus.metroplex.count(),
    forward: (id, msg) => primus.forward.spark(id, msg),
    broadcast: msg => primus.forward.broadcast(msg)
  }
  process.on('message', (command: Command) => {
    // The supervisor sends messages of its own too.
    const fn = commands[command.name] as ((...args: readonly unknown[]) => Promise<unknown>) | undefined
    fn?.(...command.args).then(
      value => {
        tell({ id: command.id, value })
      },
      (error: unknown) => {
        tell({ id: command.id, error: String(error) })
      }
    )
  })
  me.onDrain(async () => {
    if (process.connected) return
    await once(primus.metroplex, 'unregister', { within: PATIENCE }).catch(() => undefined)
    await deadline(clear(redis, cleanupTerms()), PATIENCE, 'the end of Redis')
  })
}
