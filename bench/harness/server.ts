/** A Primus server on stage: what runs in the process of one. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  load,
  loadPlugin,
  loadPrimus,
  type MetroplexUnderTest,
  type PrimusUnderTest
} from '../../test/support/primus-types'
import { connectTo, type Ioredis } from '../../test/support/redis-target'
import { eventually, once as emitted } from '../../test/support/wait'
import type { Plugin } from '../subjects'
import type { Actor, ActorSettings } from './actor'
import { comeAll, madeUp, makeUp } from './pretend'
import type { Done } from './window'

/** A callback as every subject takes it. */
export type Callback<T> = (error: Error | null | undefined, value: T) => void

/** What a forward calls back with. */
export interface Sent {
  send: number
}

/** What the works use of a server; every subject has it. */
export interface PrimusOnStage extends PrimusUnderTest {
  readonly metroplex: MetroplexUnderTest & {
    servers(fn: Callback<string[]>): unknown
    spark(id: string, fn: Callback<string | null>): unknown
    sparks(ids: readonly string[], fn: Callback<(string | null)[]>): unknown
    /** 1.x has none. */
    stats?(): { waiting: number }
    /** 1.x has none. */
    join?(sparks: string | readonly string[], groups: string | readonly string[]): Promise<unknown>
    /** Of this project alone. */
    identify?(id: string, user: string): Promise<unknown>
    watch?(handlers: Record<string, (name: string) => void>): () => void
  }
  readonly forward: {
    spark(id: string, msg: unknown, fn?: Callback<Sent>): unknown
    sparks(ids: readonly string[], msg: unknown, fn: Callback<Sent>): unknown
    broadcast(msg: unknown, fn: Callback<Sent>): unknown
    /** 1.x has none. */
    group?(groups: string, msg: unknown, fn: Callback<Sent>): unknown
  }
}

let primus: PrimusOnStage | undefined

/** A callback for a forward that has to reach so many sparks, each of which is an operation. */
export function handed(to: number, done: Done): Callback<Sent> {
  return (error, result) => {
    if (error) done(error, 0)
    else done(result.send === to ? null : new Error(`it reached ${result.send} of ${to} sparks`), result.send)
  }
}

/** The server of this process. */
export function server(): PrimusOnStage {
  if (primus === undefined) throw new Error('This process has no server yet.')
  return primus
}

/** Makes this process a server. Resolves when it has registered. */
export async function openServer({
  subject,
  redis,
  namespace,
  transformer,
  options
}: ActorSettings<Plugin>): Promise<Actor> {
  const http = createServer()
  const one = new (loadPrimus())(http, {
    transformer,
    redis: connectTo(redis, load('ioredis') as Ioredis),
    namespace,
    password: 'bench',
    // A ping to all clients in the midst of a row would be counted as its work.
    pingInterval: false,
    ...options
  })
  if (subject.omega) one.plugin('omega-supreme', loadPlugin('omega-supreme'))
  one.plugin('metroplex', loadPlugin(subject.module))
  const registered = emitted(one.metroplex, 'register', { within: 10_000 })
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  await registered
  primus = one as PrimusOnStage
  return actorOf(primus, (http.address() as AddressInfo).port)
}

function actorOf({ metroplex, forward }: PrimusOnStage, port: number): Actor {
  return {
    port,
    meet: others => awaitPeers(others.length),
    async pretend(count) {
      await makeUp(count)
      await comeAll()
      return madeUp()
    },
    lookUpOne: (id, done) => {
      metroplex.spark(id, (error, address) => {
        done(error ?? (address !== null ? null : new Error('no server has the spark')), 1)
      })
    },
    lookUpMany: (ids, done) => {
      metroplex.sparks(ids, (error, addresses) => {
        done(error ?? (addresses.every(Boolean) ? null : new Error('no server has one of the sparks')), 1)
      })
    },
    forwardOne: (id, message, done) => {
      forward.spark(id, message, handed(1, done))
    },
    // 1.x needs its callback.
    ...(isSuccessor() && {
      forwardAndForget: (id, message) => {
        forward.spark(id, message)
      }
    }),
    forwardMany: (ids, message, done) => {
      forward.sparks(ids, message, handed(ids.length, done))
    },
    async enter(ids, group) {
      await metroplex.join?.(ids, group)
    },
    forwardGroup: (group, sparks, message, done) => {
      forward.group?.(group, message, handed(sparks, done))
    },
    broadcast: (all, message, done) => {
      forward.broadcast(message, handed(all, done))
    }
  }
}

/** Whether it is one of those that came after 1.x: they say what they do, sweep and heal. */
export function isSuccessor(): boolean {
  return server().metroplex.stats !== undefined
}

/** The address of the server of this process. */
export function address(): string {
  return server().metroplex.address
}

/** Resolves when the server of this process knows so many peers. */
export async function awaitPeers(count: number): Promise<void> {
  const { metroplex } = server()
  const peers = (): Promise<string[]> =>
    new Promise((resolve, reject) => {
      metroplex.servers((error, list) => (error ? reject(error) : resolve(list)))
    })
  await eventually(async () => (await peers()).length === count, { what: `${count} peers`, within: 20_000 })
}
