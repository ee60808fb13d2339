import { setTimeout as sleep } from 'node:timers/promises'
import { assume } from '../support/assume'
import { forkWorker } from '../support/cluster-worker'
import { forkApart, forkBeside, namespaces } from '../support/netns'
import type { MetroplexUnderTest, PrimusUnderTest } from '../support/primus-types'
import type { ServerProcess } from '../support/server'
import { makeSparks } from '../support/unconnected-sparks'
import { eventually } from '../support/wait'
import type { Ground } from './ground'
import { BRIEF, LAPSED, MISLED, NO_REDIS, REPAIRED, TAKEN, either, peerEnded } from './health'
import type { Measure, Row } from './row'

/** For how long two compete for an address, in ms; and in the short form. */
const [LONG, SHORT] = [15_000, 5000]

/** How many sparks each server has. */
const SPARKS = 50

/** From one message of the third server to the next, in ms. */
const PAUSE = 20

const measures: readonly Measure[] = [
  { what: 'connected sparks named in `reap`', unit: 'messages', atMost: 0 },
  { what: '`EADDRESS` of one server, at most', unit: 'messages', atMost: 1 },
  { what: '`leave` at a third server', unit: 'messages', atMost: 0 },
  { what: 'forwards to registered sparks that arrived', unit: '%', atLeast: 100 }
]

/** One of those that compete: its sparks, and what it reported. */
interface Rival {
  readonly ids: readonly string[]
  /** The address that it is registered under; `''` for none. */
  readonly address: () => Promise<unknown>
  /** How often it has reported `EADDRESS`. */
  readonly complaints: () => Promise<number>
}

interface Result {
  ok: boolean
  send: number
}

/**
 * Let rivals compete while a third server sends messages to the sparks of the one that is registered; what was
 * measured.
 */
async function compete(
  ground: Ground,
  third: ServerProcess,
  rivals: readonly Rival[],
  reaps: () => Promise<unknown[][]>
): Promise<number[]> {
  const end = performance.now() + (ground.long ? LONG : SHORT)
  const connected = new Set(rivals.flatMap(({ ids }) => ids))
  let [sent, arrived] = [0, 0]
  while (performance.now() < end) {
    for (const { ids, address } of rivals) {
      const id = ids[sent % ids.length] ?? ''
      const before = await address()
      if (before === '' || (await ground.client.hget(ground.key('sparks', id), id)) !== before) continue
      const { ok, send } = (await third.call('forward.spark', id, 'x')) as Result
      // If it lost the address meanwhile, it was not registered.
      if ((await address()) !== before) continue
      sent++
      if (ok && send === 1) arrived++
    }
    await sleep(PAUSE)
  }
  assume(sent).is.above(10)
  const named = (await reaps()).flatMap(([, ids]) => ids as string[]).filter(id => connected.has(id))
  const complaints = await Promise.all(rivals.map(rival => rival.complaints()))
  // One has the address, and the others have said so.
  const holders = (await Promise.all(rivals.map(({ address }) => address()))).filter(address => address !== '')
  assume([holders.length, complaints.filter(count => count > 0).length]).eql([1, rivals.length - 1])
  return [named.length, Math.max(...complaints), ground.told('leave', third).length, (100 * arrived) / sent]
}

function names(prefix: string): string[] {
  return Array.from({ length: SPARKS }, (_, i) => `${prefix}-${i}`)
}

/** A process that competes. */
async function rival(ground: Ground, server: ServerProcess, prefix: string): Promise<Rival> {
  const ids = names(prefix)
  await server.run(makeSparks, ids)
  return {
    ids,
    address: () => server.run(primus => ((primus.metroplex as Registered).id === '' ? '' : primus.metroplex.address)),
    complaints: () => Promise.resolve(complaints(ground.told('error', server).map(([error]) => error)))
  }
}

function complaints(errors: readonly unknown[]): number {
  return errors.filter(error => (error as { code?: string }).code === 'EADDRESS').length
}

/** It has an id while it is registered. */
interface Registered extends MetroplexUnderTest {
  readonly id: string
}

/** What the second Primus of a process reported; a global there. */
interface Second {
  primus: PrimusUnderTest
  metroplex: MetroplexUnderTest
  errors: unknown[]
  reaps: unknown[][]
  end(): void
}

/** Puts a second Primus on the HTTP server of the first one. Travels as source. */
const doubling = (options: Record<string, unknown>): void => {
  // It is compiled without a module of its own.
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- there is no other way to the program's
  const main = process.mainModule as unknown as { require(name: string): unknown }
  const rest = { ...options }
  options['pathname'] = '/chat'
  options['plugin'] = {
    doubling: {
      server(primus: PrimusUnderTest) {
        const Primus = main.require('primus') as new (server: unknown, options: object) => PrimusUnderTest
        const second = new Primus(primus.server, { ...rest, pathname: '/news' })
        second.plugin('metroplex', main.require('../../index'))
        const [errors, reaps]: [unknown[], unknown[][]] = [[], []]
        second.metroplex.on('error', error => {
          errors.push({ code: (error as { code: string }).code, message: String(error) })
        })
        second.metroplex.on('reap', (...args) => {
          reaps.push(args)
        })
        const end = (): void => {
          second.destroy({ close: false })
        }
        Object.assign(globalThis, { second: { primus: second, metroplex: second.metroplex, errors, reaps, end } })
      }
    }
  }
}

export const rivals: readonly Row[] = [
  {
    id: 'F38',
    fault: 'two Primus servers on one HTTP server, with one address',
    promise:
      'one has the address; the other reports `EADDRESS` once, serves its own clients and waits; no connected ' +
      'spark is reaped; peers emit no `leave`',
    measures,
    health: [{ by: [1, 2], reasons: either(TAKEN, LAPSED, NO_REDIS), stays: true }, peerEnded()],
    async provoke(ground) {
      const third = await ground.start()
      const both = await ground.start({}, { prepare: doubling, until: 'listening' })
      await ground.observe(both, undefined, 'second')
      const second = <T>(read: (second: Second) => T): Promise<Awaited<T>> =>
        both.run(
          (_primus, source: string) =>
            // It travels as source once more, because only the process has the second one.
            ((0, eval)(`(${source})`) as (second: Second) => T)((globalThis as unknown as { second: Second }).second),
          read.toString()
        )
      const ids = names('news')
      await both.run(
        (_primus, source: string, list: string[]) => {
          const make = (0, eval)(`(${source})`) as typeof makeSparks
          make((globalThis as unknown as { second: Second }).second.primus, list)
        },
        makeSparks.toString(),
        ids
      )
      const news: Rival = {
        ids,
        address: () => second(({ metroplex }) => ((metroplex as Registered).id === '' ? '' : metroplex.address)),
        complaints: async () => complaints(await second(({ errors }) => errors))
      }
      const pair = [await rival(ground, both, 'chat'), news]
      await eventually(async () => (await Promise.all(pair.map(one => one.complaints()))).some(count => count > 0))
      const reaps = async (): Promise<unknown[][]> => [
        ...ground.told('reap', both, third),
        ...(await second(one => one.reaps))
      ]
      const figures = await compete(ground, third, pair, reaps)
      await second(one => {
        one.end()
      })
      ground.sound(third, both)
      return figures
    }
  },
  {
    id: 'F39',
    fault: 'two servers in two network namespaces with one loopback address',
    promise:
      'the first has the address; the other reports `EADDRESS` once and waits; no connected spark is reaped; peers ' +
      'emit no `leave`',
    measures,
    health: [
      { by: [2], reasons: TAKEN, stays: true },
      { by: [2], reasons: LAPSED, stays: true },
      { by: [0, 2], reasons: either(NO_REDIS, REPAIRED, LAPSED), unless: BRIEF },
      {
        warnings: /^Peers on other machines or in other containers cannot reach/,
        unless: BRIEF,
        stays: true
      },
      peerEnded()
    ],
    async provoke(ground) {
      if (namespaces() === null) {
        process.stderr.write('      F39 is not tried: no network namespace can be made here (unshare, nsenter, ip)\n')
        return [0, 0, 0, 100]
      }
      const redis = { path: ground.redis.socket, namespace: ground.space }
      const first = await ground.start({}, { redis, fork: forkApart })
      const third = await ground.start({}, { redis, fork: () => forkBeside(first.pid) })
      const ours = await rival(ground, first, 'first')
      await ground.settled(first, third)
      await third.seen('join', { filter: address => address === first.address })
      const second = await ground.start({}, { redis, fork: forkApart, port: first.port, until: 'listening' })
      const pair = [ours, await rival(ground, second, 'second')]
      await second.seen('error')
      const figures = await compete(ground, third, pair, () =>
        Promise.resolve(ground.told('reap', first, second, third))
      )
      assume(await first.call('metroplex.address')).equals(first.address)
      ground.sound(first, second, third)
      return figures
    }
  },
  {
    id: 'F40',
    fault: 'four workers of node:cluster share one port and one address (`listen: false`)',
    promise:
      'one has the address; the others report `EADDRESS` once each, serve their own clients and wait; no connected ' +
      'spark is reaped; messages reach the registered one',
    measures,
    health: [
      { by: [1, 2, 3, 4], reasons: either(TAKEN, MISLED), stays: true },
      { by: [1, 2, 3, 4], reasons: either(LAPSED, NO_REDIS, REPAIRED), unless: BRIEF, stays: true },
      { by: [1, 2, 3, 4], warnings: MISLED, unless: BRIEF, stays: true },
      peerEnded()
    ],
    async provoke(ground) {
      const third = await ground.start()
      const metroplex = { listen: false }
      const servers = await Promise.all(
        Array.from({ length: 4 }, () => ground.start({ metroplex }, { fork: forkWorker, until: 'listening' }))
      )
      const four = await Promise.all(servers.map((server, i) => rival(ground, server, `worker-${i}`)))
      await eventually(
        async () => (await Promise.all(four.map(one => one.complaints()))).filter(count => count > 0).length === 3,
        { within: 10_000 }
      )
      const figures = await compete(ground, third, four, () => Promise.resolve(ground.told('reap', third, ...servers)))
      ground.sound(third, ...servers)
      return figures
    }
  }
]
