import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import type { Model } from './model'
import { GROUPS, USERS } from './sample'
import { SERVERS } from './stage'
import { BEAT, LEASE } from './times'
import type { World } from './world'

/** Something that happens, to the model and to the real servers. */
export type Step = fc.AsyncCommand<Model, World>

function step(
  name: string,
  check: (model: Readonly<Model>) => boolean,
  run: (model: Model, world: World) => unknown
): Step {
  return {
    check,
    run: async (model, world) => {
      await run(model, world)
      world.verify()
    },
    toString: () => name
  }
}

const always = (): boolean => true
const up = (server: number) => (model: Readonly<Model>) => model.at(server).up
const reachable = (server: number) => (model: Readonly<Model>) => model.at(server).up && !model.at(server).frozen

/** The steps by their names, for examples that are written down. */
export const steps = {
  start: (server: number): Step =>
    step(
      `start(${server})`,
      model => !model.at(server).up,
      async (model, world) => {
        model.start(server)
        await world.start(server)
      }
    ),
  stop: (server: number): Step =>
    step(`stop(${server})`, up(server), async (model, world) => {
      model.end(server)
      await world.stop(server)
    }),
  die: (server: number): Step =>
    step(`die(${server})`, up(server), async (model, world) => {
      await world.die(server, () => model.end(server))
    }),
  connect: (server: number, id: string): Step =>
    step(`connect(${server}, '${id}')`, up(server), (model, world) => {
      const own = model.idOf(server, id)
      if (own !== undefined) world.connect(server, model.connect(server, own), own)
    }),
  /** The spark that comes at this place among those of the server. */
  disconnect: (server: number, nth: number): Step =>
    step(
      `disconnect(${server}, ${nth})`,
      model => model.at(server).sparks.size > 0,
      (model, world) => {
        const sparks = [...model.at(server).sparks.keys()]
        const spark = sparks[nth % sparks.length] ?? 0
        const id = model.at(server).sparks.get(spark) ?? ''
        model.disconnect(server, spark)
        // User and groups end with the last entered spark; one that is entered later begins without them.
        if (!world.disconnect(server, spark)) model.forget(server, id)
      }
    ),
  /** The user of the spark that comes at this place among those of the server becomes another one; `''`: none. */
  identify: (server: number, nth: number, user: string): Step =>
    step(
      `identify(${server}, ${nth}, '${user}')`,
      model => model.at(server).sparks.size > 0,
      (model, world) => {
        const ids = [...model.at(server).ids.keys()]
        const id = ids[nth % ids.length] ?? ''
        const name = user === '' ? undefined : user
        if (world.identify(server, id, name)) model.identify(server, id, name)
      }
    ),
  /** The spark that comes at this place among those of the server enters a group, or leaves it. */
  change: (server: number, nth: number, group: string, entered: boolean): Step =>
    step(
      `change(${server}, ${nth}, '${group}', ${entered})`,
      model => model.at(server).sparks.size > 0,
      (model, world) => {
        const ids = [...model.at(server).ids.keys()]
        const id = ids[nth % ids.length] ?? ''
        if (world.change(server, id, group, entered)) model.change(server, id, group, entered)
      }
    ),
  /** A spark connects, and has a user at once. */
  login: (server: number, id: string, user: string): Step =>
    step(`login(${server}, '${id}', '${user}')`, up(server), (model, world) => {
      const own = model.idOf(server, id)
      if (own === undefined) return
      world.connect(server, model.connect(server, own), own)
      if (world.identify(server, own, user)) model.identify(server, own, user)
    }),
  /** The sparks of a user are ended, and it is kept out for so many ms; 0: it is let in again. */
  bar: (server: number, user: string, ms: number): Step =>
    step(`bar(${server}, '${user}', ${ms})`, up(server), (_model, world) => world.bar(server, user, ms)),
  /** A server evens out its sparks. Not among the random steps yet: it is not known which of its ends are right. */
  balance: (server: number): Step =>
    step(`balance(${server})`, up(server), (_model, world) => {
      world.balance(server)
    }),
  /** A listener before ours throws: Primus's event does not reach us. */
  connectUnheard: (server: number, id: string): Step =>
    step(`connectUnheard(${server}, '${id}')`, up(server), (model, world) => {
      const own = model.idOf(server, id)
      if (own !== undefined) world.connect(server, model.connect(server, own), own, false)
    }),
  disconnectUnheard: (server: number, nth: number): Step =>
    step(
      `disconnectUnheard(${server}, ${nth})`,
      model => model.at(server).sparks.size > 0,
      (model, world) => {
        const sparks = [...model.at(server).sparks.keys()]
        const spark = sparks[nth % sparks.length] ?? 0
        model.disconnect(server, spark)
        world.disconnect(server, spark, false)
      }
    ),
  /** Redis refuses what needs memory, or no longer. */
  fill: (full: boolean): Step => step(`fill(${full})`, always, (_model, world) => world.fill(full)),
  /** All at once, more than one script takes. */
  crowd: (server: number, size: number): Step =>
    step(`crowd(${server}, ${size})`, up(server), (model, world) => {
      for (let i = 0; i < size; i++) {
        const id = model.idOf(server, `c${i}`)
        if (id !== undefined) world.connect(server, model.connect(server, id), id)
      }
    }),
  disperse: (server: number): Step =>
    step(`disperse(${server})`, up(server), (model, world) => {
      for (const spark of [...model.at(server).sparks.keys()]) {
        model.disconnect(server, spark)
        world.disconnect(server, spark)
      }
    }),
  freeze: (server: number): Step =>
    step(`freeze(${server})`, reachable(server), (model, world) => {
      model.at(server).frozen = true
      world.freeze(server)
    }),
  deafen: (server: number): Step =>
    step(`deafen(${server})`, reachable(server), (model, world) => {
      model.at(server).frozen = true
      world.freeze(server, true)
    }),
  thaw: (server: number): Step =>
    step(
      `thaw(${server})`,
      model => model.at(server).frozen,
      (model, world) => {
        model.at(server).frozen = false
        world.thaw(server)
      }
    ),
  cut: (server: number): Step => step(`cut(${server})`, up(server), (_model, world) => world.cut(server)),
  loseReply: (server: number, cut: boolean): Step =>
    step(`loseReply(${server}, ${cut})`, up(server), (_model, world) => world.loseReply(server, cut)),
  flush: (): Step => step('flush()', always, (_model, world) => world.flush()),
  restart: (empty: boolean): Step => step(`restart(${empty})`, always, (_model, world) => world.restart(empty)),
  outage: (ms: number): Step => step(`outage(${ms})`, always, (_model, world) => world.outage(ms)),
  /** Redis takes another password, and breaks all connections; the applications hear of it so many ms later. */
  rekey: (ms: number): Step => step(`rekey(${ms})`, always, (_model, world) => world.rekey(ms)),
  mislead: (server: number, ms: number): Step =>
    step(`mislead(${server}, ${ms})`, reachable(server), (_model, world) => world.mislead(server, ms)),
  wait: (ms: number): Step => step(`wait(${ms})`, always, () => sleep(ms))
}

/** Few servers and few ids, so that they meet. */
const server = fc.nat({ max: SERVERS - 1 })
const id = fc.constantFrom('p', 'q', 'r', 's')
const user = fc.constantFrom(...USERS, '')
const group = fc.constantFrom(...GROUPS)
const briefly = fc.constantFrom(0, 1, 3, 10, 30)
const long = fc.constantFrom(BEAT / 2, BEAT, LEASE / 2, LEASE, 2 * LEASE)

const kinds: { weight: number; arbitrary: fc.Arbitrary<Step> }[] = [
  { weight: 6, arbitrary: server.map(steps.start) },
  { weight: 2, arbitrary: server.map(steps.stop) },
  { weight: 3, arbitrary: server.map(steps.die) },
  { weight: 14, arbitrary: fc.tuple(server, id).map(args => steps.connect(...args)) },
  { weight: 9, arbitrary: fc.tuple(server, fc.nat({ max: 5 })).map(args => steps.disconnect(...args)) },
  { weight: 8, arbitrary: fc.tuple(server, fc.nat({ max: 5 }), user).map(args => steps.identify(...args)) },
  {
    weight: 10,
    arbitrary: fc.tuple(server, fc.nat({ max: 5 }), group, fc.boolean()).map(args => steps.change(...args))
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(server, fc.constantFrom(...USERS), fc.constantFrom(0, BEAT, 2 * LEASE, 20_000))
      .map(args => steps.bar(...args))
  },
  { weight: 16, arbitrary: fc.tuple(server, id, fc.constantFrom(...USERS)).map(args => steps.login(...args)) },
  { weight: 3, arbitrary: fc.tuple(server, id).map(args => steps.connectUnheard(...args)) },
  { weight: 3, arbitrary: fc.tuple(server, fc.nat({ max: 5 })).map(args => steps.disconnectUnheard(...args)) },
  { weight: 4, arbitrary: fc.boolean().map(steps.fill) },
  { weight: 1, arbitrary: fc.tuple(server, fc.constantFrom(501, 1100)).map(args => steps.crowd(...args)) },
  { weight: 1, arbitrary: server.map(steps.disperse) },
  { weight: 4, arbitrary: server.map(steps.freeze) },
  { weight: 2, arbitrary: server.map(steps.deafen) },
  { weight: 5, arbitrary: server.map(steps.thaw) },
  { weight: 3, arbitrary: server.map(steps.cut) },
  { weight: 3, arbitrary: fc.tuple(server, fc.boolean()).map(args => steps.loseReply(...args)) },
  { weight: 2, arbitrary: fc.constant(steps.flush()) },
  { weight: 2, arbitrary: fc.boolean().map(steps.restart) },
  { weight: 1, arbitrary: long.map(steps.outage) },
  { weight: 2, arbitrary: fc.oneof(briefly, long).map(steps.rekey) },
  {
    weight: 2,
    arbitrary: fc.tuple(server, fc.constantFrom(BEAT / 2, BEAT, LEASE / 2)).map(args => steps.mislead(...args))
  },
  { weight: 9, arbitrary: briefly.map(steps.wait) },
  { weight: 7, arbitrary: long.map(steps.wait) }
]

/** Anything that may happen, in any order. */
export function happenings(replayPath?: string): fc.Arbitrary<Iterable<Step>> {
  const weighted = kinds.flatMap(({ weight, arbitrary }) => Array.from({ length: weight }, () => arbitrary))
  return fc.commands(weighted, { maxCommands: 40, size: 'max', ...(replayPath !== undefined && { replayPath }) })
}
