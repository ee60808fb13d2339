import { startRedis, type RedisProcess } from '../../test/support/redis'
import { eventually } from '../../test/support/wait'
import type { Subject } from '../subjects'
import { meet, openActor } from './actor'
import { Child } from './child'
import { cpu, shared } from './clock'
import { awaitMessages, openClients } from './crowd'
import type { Transformer } from './dialects'
import { listenForReceipts, tellReceipts } from './receipts'
import { Observer } from './observer'
import type { Ran } from './window'

const ACTOR = require.resolve('./actor')
const CLOCK = require.resolve('./clock')
const CROWD = require.resolve('./crowd')
const RECEIPTS = require.resolve('./receipts')
/** What runs already needs that part of the time only until another row is warm. */
const WARM = 1 / 4
/** Of all servers on a stage. */
export const namespace = 'bench'

/** So many servers start at the same time. */
const TOGETHER = 8

/** Who takes part in a work. */
export interface Cast {
  readonly servers: number
  /** Clients of each server; with 0 there is no process for them. @default 0 */
  readonly clients?: number
  /** Whether only the receivers have clients. @default false */
  readonly remote?: boolean
  /** What lies below Primus. @default 'websockets' */
  readonly transformer?: Transformer
  /** Options of Primus, beside those that every server has. They survive structured cloning. @default none */
  readonly options?: object
}

/** Whose CPU is counted: the server that is told to do the work; the other ones together; all clients; Redis. */
export type Role = 'sender' | 'receivers' | 'clients' | 'redis'

/** A row of a work, measured once. */
export interface Measured {
  readonly row: string
  /** What one operation is: `'message'`. */
  readonly operation: string
  /** Those that succeeded. */
  readonly operations: number
  /** Calls that failed. */
  readonly failed: number
  /** Share of the machine's CPU that its host gave to others meanwhile, from 0 to 1. */
  readonly stolen?: number
  /** None where it says nothing. */
  readonly perSecond?: number | undefined
  /** Microseconds per operation. */
  readonly cpu: Readonly<Partial<Record<Role, number>>>
  /** Milliseconds. */
  readonly latency?: { readonly p50: number; readonly p99: number; readonly max?: number }
  /** What is to be said of this row alone, by what it is called, with its unit. */
  readonly figures?: Readonly<Record<string, number>>
}

/** How a row is measured. */
export interface Measuring {
  readonly row: string
  readonly operation: string
  /**
   * Whether each operation is a message that a client gets: then the row ends when the last one is there.
   *
   * @default false
   */
  readonly delivers?: boolean
  /** Does it, for a while. */
  readonly run: () => Promise<Ran>
}

/** A row that is warmed up and then measured, in the same way. */
export interface Row extends Omit<Measuring, 'run'> {
  /** Milliseconds that it is measured for. */
  readonly ms: number
  /** Milliseconds that it runs before when it is the first one on this stage; those after it take a quarter. */
  readonly warm: number
  /** Does it, for so many milliseconds. */
  readonly run: (ms: number) => Promise<Ran>
}

/**
 * One subject at work: a Redis of its own, servers, and clients, each in a process of its own.
 *
 * @example
 * const stage = await Stage.open(ours, { servers: 2, clients: 100 })
 * try { … } finally { await stage.close() }
 */
export class Stage {
  /** The ids of the clients' sparks, server by server; the sender's first. */
  ids: readonly (readonly string[])[] = []

  readonly #servers: Child[] = []
  #crowd: Child | undefined
  #delivered = 0
  #warm = false
  readonly #observer: Observer

  private constructor(
    readonly subject: Subject,
    readonly redis: RedisProcess
  ) {
    this.#observer = new Observer(redis)
  }

  /** Resolves when all servers know each other, and all clients are registered. */
  static async open(subject: Subject, cast: Cast): Promise<Stage> {
    const stage = new Stage(subject, await startRedis())
    try {
      await stage.#open(cast)
      return stage
    } catch (error) {
      await stage.close()
      throw error
    }
  }

  /** The server that is told to do the work. */
  get sender(): Child {
    const [sender] = this.#servers
    if (sender === undefined) throw new Error('There is no server on stage.')
    return sender
  }

  /** The other servers. */
  get receivers(): readonly Child[] {
    return this.#servers.slice(1)
  }

  /** The process of all clients. */
  get crowd(): Child {
    if (this.#crowd === undefined) throw new Error('There are no clients on stage.')
    return this.#crowd
  }

  /** Resolves when so many sparks stand in the registry, of all servers together. */
  async registered(count: number): Promise<void> {
    const registered = async (): Promise<boolean> => (await this.#observer.redis.hlen(`${namespace}:sparks`)) === count
    await eventually(registered, { what: `${count} sparks in the registry`, within: 20_000 })
  }

  /** Warms a row up, and measures it. */
  async row({ run, ms, warm, ...rest }: Row): Promise<Measured> {
    await this.warm({ ...rest, run: () => run(this.#warm ? warm * WARM : warm) })
    this.#warm = true
    return this.measure({ ...rest, run: () => run(ms) })
  }

  /** Kills one of the servers: from now on it takes no part. */
  async lose(server: Child): Promise<void> {
    this.#servers.splice(this.#servers.indexOf(server), 1)
    await server.kill()
  }

  /** Does what a row measures, without measuring it. */
  async warm({ delivers = false, run }: Pick<Measuring, 'delivers' | 'run'>): Promise<void> {
    const ran = await run()
    if (delivers) await this.#settle(ran)
  }

  /** Measures a row: its operations, and the CPU time that all processes used for them. */
  async measure({
    row,
    operation,
    delivers = false,
    run
  }: Measuring): Promise<Measured & { readonly perSecond: number }> {
    const [before, whole] = [await this.#cpu(), shared()]
    const ran = await run()
    const ended = delivers ? Math.max(ran.ended, await this.#settle(ran)) : ran.ended
    const [after, end] = [await this.#cpu(), shared()]
    const { operations, failed, failure, began } = ran
    if (failure !== undefined) process.stderr.write(`${row}: ${failed} calls failed, the first one with: ${failure}\n`)
    if (operations === 0) throw new Error(`'${row}' cannot be measured: not one call succeeded.`)
    return {
      row,
      operation,
      operations,
      failed,
      stolen: (end.stolen - whole.stolen) / Math.max(1, end.all - whole.all),
      perSecond: (operations / (ended - began)) * 1000,
      cpu: Object.fromEntries([...after].map(([role, used]) => [role, (used - (before.get(role) ?? 0)) / operations]))
    }
  }

  /** Ends all processes. */
  async close(): Promise<void> {
    await Promise.all(
      [...this.#servers, ...(this.#crowd === undefined ? [] : [this.#crowd])].map(child => child.close())
    )
    await this.redis.stop()
  }

  async #open({ servers, clients = 0, remote = false, transformer = 'websockets', options = {} }: Cast): Promise<void> {
    const settings = { subject: this.subject, redis: this.redis.target, namespace, transformer, options }
    const ports: number[] = []
    while (ports.length < servers) {
      const some = Array.from(
        { length: Math.min(TOGETHER, servers - ports.length) },
        (_, i) => new Child(ports.length + i === 0 ? 'sender' : `receiver ${ports.length + i}`)
      )
      this.#servers.push(...some)
      ports.push(...(await Promise.all(some.map(child => child.run(ACTOR, openActor, settings)))))
    }
    await Promise.all(
      this.#servers.map((child, i) =>
        child.run(
          ACTOR,
          meet,
          ports.filter((_, other) => other !== i)
        )
      )
    )
    if (clients === 0) return
    this.#crowd = new Child('clients')
    const dialect = this.subject.kind === 'socket.io' ? 'socketio' : transformer
    const served = remote ? ports.slice(1) : ports
    const ids = await this.#crowd.run(CROWD, openClients, { ports: served, each: clients, dialect })
    this.ids = remote ? [[], ...ids] : ids
    if (this.subject.kind === 'primus') await this.registered(served.length * clients)
    await this.#crowd.run(RECEIPTS, tellReceipts, await this.sender.run(RECEIPTS, listenForReceipts, undefined))
  }

  /** Resolves when the clients have got what they were sent, with the time of the last message. */
  async #settle({ operations }: Ran): Promise<number> {
    this.#delivered += operations
    return this.crowd.run(CROWD, awaitMessages, this.#delivered)
  }

  /** Microseconds that all processes have used so far. */
  async #cpu(): Promise<Map<Role, number>> {
    const used = async (...children: readonly Child[]): Promise<number> => {
      const each = await Promise.all(children.map(child => child.run(CLOCK, cpu, undefined)))
      return each.reduce((sum, one) => sum + one, 0)
    }
    const { receivers } = this
    return new Map<Role, number>([
      ['sender', await used(this.sender)],
      ...(receivers.length > 0 ? [['receivers', await used(...receivers)] as const] : []),
      ...(this.#crowd !== undefined ? [['clients', await used(this.#crowd)] as const] : []),
      ['redis', await this.#observer.cpu()]
    ])
  }
}
