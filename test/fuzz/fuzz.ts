import fc from 'fast-check'
import type { Metroplex } from '../../index'
import { assume } from '../support/assume'
import type { ServerProcess } from '../support/server'
import { Stranger } from '../support/stranger'
import { eventually } from '../support/wait'
import type { Ground } from '../faults/ground'
import { anyCase, type Scene } from './cases'
import { Ear } from './ear'

/** How much of everything. */
export interface Amounts {
  readonly seed: number
  readonly cases: number
  readonly path?: string
  readonly say: (line: string) => void
}

/** What came about. */
export interface Figures {
  readonly cases: Readonly<Record<string, number>>
  /** Those of them that delivered something. */
  readonly good: Readonly<Record<string, number>>
  /** How many messages were delivered, by their receiver. */
  readonly delivered: number
  /** By what the heap of the server has grown, in bytes for each case; between the first fifth and the end. */
  readonly grown: number
}

/** How many cases go on at the same time. */
const TOGETHER = 16
/** What a body may be, in bytes, and how long it may take, in ms. */
const bounded = { metroplex: { maxBody: 20_000, timeout: 1000 } }

/** The heap of a server when all garbage has been collected, in bytes. */
function heap(server: ServerProcess): Promise<number> {
  return server.run(() => {
    const { getBuiltinModule } = process as unknown as { getBuiltinModule: (name: string) => unknown }
    const v8 = getBuiltinModule('node:v8') as { setFlagsFromString(flag: string): void }
    const vm = getBuiltinModule('node:vm') as { runInNewContext(code: string): unknown }
    v8.setFlagsFromString('--expose-gc')
    const gc = vm.runInNewContext('gc') as () => void
    gc()
    gc()
    return process.memoryUsage().heapUsed
  })
}

/** How many connections a server holds. */
function connections(server: ServerProcess): Promise<number> {
  return server.run(
    primus =>
      new Promise<number>((resolve, reject) => {
        if (primus.server === null) reject(new Error('it does not listen'))
        else
          primus.server.getConnections((error, count) => {
            if (error === null) resolve(count)
            else reject(error)
          })
      })
  )
}

/**
 * Asks a server all that one can think of, and what one cannot.
 *
 * @throws when it crashed, hung, delivered anything to another spark than a good request named, or kept something
 */
export async function fuzz(ground: Ground, { seed, cases, path, say }: Amounts): Promise<Figures> {
  const server = await ground.start(bounded, { omega: false })
  const [named, bystander] = [await Ear.open(server.url), await Ear.open(server.url)]
  await ground.settled(server)
  await server.run(primus => {
    const { metroplex } = primus as unknown as { metroplex: Metroplex }
    metroplex.method('echo', (...args: unknown[]) => args)
    metroplex.method('throws', () => {
      throw new Error('on purpose')
    })
  })
  const kept = (await ground.client.get(ground.key('secret'))) ?? ''
  const papers = {
    url: server.url,
    address: server.address,
    secret: kept.slice(kept.indexOf(' ') + 1),
    namespace: ground.space
  }
  const scenes = await Promise.all(
    Array.from({ length: TOGETHER }, async (): Promise<Scene> => {
      const friend = new Stranger(papers)
      const known = await friend.meet()
      let number = 0
      return {
        friend,
        known,
        next: () => (number += 1),
        foe: friend.with({ secret: 'x'.repeat(43) }),
        named: named.id,
        bystander: bystander.id
      }
    })
  )
  const before = await connections(server)
  const counts: Record<string, number> = {}
  const good: Record<string, number> = {}
  const heaps: { at: number; bytes: number }[] = []
  let [delivered, done, told] = [0, 0, performance.now()]
  const fifth = Math.ceil(cases / 5)
  await fc.assert(
    fc.asyncProperty(fc.array(anyCase, { minLength: TOGETHER, maxLength: TOGETHER }), async together => {
      const handed = await Promise.all(together.map(({ run }, i) => run(scenes[i] as Scene)))
      delivered += handed.reduce((sum, count) => sum + count, 0)
      for (const [i, { name }] of together.entries()) {
        counts[name] = (counts[name] ?? 0) + 1
        if ((handed[i] ?? 0) > 0) good[name] = (good[name] ?? 0) + 1
      }
      await eventually(() => named.heard >= delivered, {
        what: `message ${delivered}, which was said to have been delivered`
      })
      assume({ named: named.heard, bystander: bystander.heard, forged: named.forged }).eql({
        named: delivered,
        bystander: 0,
        forged: []
      })
      assume(server.crashes).eql([])
      done += together.length
      if (done >= fifth * (heaps.length + 1)) heaps.push({ at: done, bytes: await heap(server) })
      if (performance.now() - told < 10_000) return
      told = performance.now()
      say(`${done} cases, ${delivered} messages delivered`)
    }),
    {
      seed,
      numRuns: Math.ceil(cases / TOGETHER),
      endOnFailure: path === undefined,
      includeErrorInReport: true,
      ...(path !== undefined && { path })
    }
  )
  let left = 0
  await eventually(async () => (left = (await connections(server)) - before) === 0, { within: 10_000 }).catch(() => {
    throw new Error(`${left} connections were left behind`)
  })
  assume(await server.call('forward.spark', named.id, 'last')).eql({ ok: true, send: 1, local: true })
  await eventually(() => named.heard === delivered + 1)
  await eventually(async () => ((await server.call('metroplex.stats')) as { answering: number }).answering === 0, {
    what: 'no question that is still being answered'
  })
  ground.unharmed(server)
  const [early, late] = [heaps[0], heaps.at(-1)]
  const grown =
    early === undefined || late === undefined || late.at === early.at
      ? 0
      : (late.bytes - early.bytes) / (late.at - early.at)
  return { cases: counts, good, delivered, grown }
}
