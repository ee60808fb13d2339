import { RoomsAdapter } from '../lib/rooms'
import { assume } from './support/assume'
import { openClient, type Client } from './support/client'
import { namespace } from './support/namespace'
import { createPrimus } from './support/primus'
import { loadPlugin } from './support/primus-types'
import { startRedis, type RedisProcess } from './support/redis'
import { createRegistered } from './support/registered'
import { rejection } from './support/rejection'
import { startServer, type ServerOptions, type ServerProcess } from './support/server'
import { eventually } from './support/wait'

/** What primus-rooms adds, as these tests use it. */
interface Rooms {
  room(name: string | string[]): Rooms
  in(name: string): Rooms
  except(ids: string | string[]): Rooms
  transform(fn: (this: unknown, packet: { data: unknown[] }, next?: () => void) => unknown): Rooms
  write(msg: unknown): unknown
  send(event: string, ...args: unknown[]): unknown
  clients(fn: Answered<string[]>): unknown
  isRoomEmpty(room: string, fn: Answered<boolean>): unknown
  rooms(fn?: Answered<string[]>): string[]
  empty(room?: string | Answered<void>, fn?: Answered<void>): unknown
}

type Answered<T> = (error: Error | null, value?: T) => void

interface RoomsSpark extends Rooms {
  readonly id: string
  join(room: string | string[], fn?: Answered<unknown>): unknown
  leave(room: string, fn?: Answered<unknown>): unknown
  leaveAll(fn?: Answered<unknown>): unknown
}

interface RoomsServer extends Rooms {
  join(sparks: (string | RoomsSpark)[], room: string, fn: Answered<unknown>): unknown
  leave(sparks: string[], room: string, fn: Answered<unknown>): unknown
  spark(id: string): RoomsSpark
  on(event: string, fn: (...args: never[]) => void): unknown
  plugin(name: string, plugin: unknown): unknown
}

/** An event of primus-rooms: its name, its rooms or error, and the spark. */
type Noted = [event: string, detail: unknown, spark: string | undefined]

/** primus-rooms 3.4.3 on two servers, each in a process of its own, over groups. */
describe('primus-rooms over groups', () => {
  let redis: RedisProcess
  let space: string
  let servers: ServerProcess[]
  let [one, two, three] = [] as unknown as [Client, Client, Client]

  before(async () => {
    redis = await startRedis({ scope: 'suite' })
  })
  after(() => redis.stop())

  const start = async (options: Partial<ServerOptions> = {}): Promise<ServerProcess> => {
    const server = await startServer({
      redis: { url: redis.url, namespace: space },
      prepare: options => {
        // eslint-disable-next-line @typescript-eslint/no-deprecated -- what travels as source has no module of its own
        const main = process.mainModule as unknown as { require(name: string): { RoomsAdapter: new () => object } }
        options['rooms'] = { adapter: new (main.require('../../lib/rooms').RoomsAdapter)() }
      },
      ...options
    })
    await server.run(primus => {
      const rooms = primus as unknown as RoomsServer
      // eslint-disable-next-line @typescript-eslint/no-deprecated -- what travels as source has no module of its own
      const main = process.mainModule as unknown as { require(name: string): unknown }
      rooms.plugin('rooms', main.require('primus-rooms'))
      const noted: unknown[] = []
      Object.assign(globalThis, { noted })
      for (const event of ['joinroom', 'leaveroom', 'leaveallrooms', 'roomserror']) {
        rooms.on(event, (detail: unknown, spark?: RoomsSpark) => {
          noted.push([event, detail instanceof Error ? detail.message : detail, spark?.id])
        })
      }
    })
    return server
  }

  beforeEach(async () => {
    space = namespace()
    servers = await Promise.all([start(), start()])
    const [a, b] = servers as [ServerProcess, ServerProcess]
    ;[one, two, three] = await Promise.all([openClient(a.url), openClient(b.url), openClient(b.url)])
    for (const server of servers) {
      await eventually(async () => {
        const places = (await server.call('metroplex.sparks', [one.id, two.id, three.id])) as (string | null)[]
        return places.every(place => place !== null)
      })
    }
  })

  const noted = (server: ServerProcess): Promise<Noted[]> =>
    server.run(() => (globalThis as unknown as { noted: Noted[] }).noted)

  /** Lets a spark of this server join rooms; resolves when primus-rooms calls back. */
  const join = (server: ServerProcess, id: string, rooms: string | string[]): Promise<unknown> =>
    server.run(
      (primus, id, rooms) =>
        new Promise((resolve, reject) => {
          ;(primus as unknown as RoomsServer).spark(id).join(rooms, error => {
            if (error) reject(error)
            else resolve(null)
          })
        }),
      id,
      rooms
    )

  /** The ids that `primus.room(name).clients` calls back with on this server, sorted. */
  const members = (server: ServerProcess, room: string): Promise<string[]> =>
    server.run(
      (primus, room) =>
        new Promise<string[]>((resolve, reject) => {
          ;(primus as unknown as RoomsServer).room(room).clients((error, ids) => {
            if (error) reject(error)
            else resolve((ids ?? []).sort())
          })
        }),
      room
    )

  const sorted = (...clients: Client[]): string[] => clients.map(({ id }) => id).sort()

  it('sends to the sparks of all servers, each once, and not to exceptions', async () => {
    const [a, b] = servers as [ServerProcess, ServerProcess]
    await join(a, one.id, 'news sport')
    await join(b, two.id, ['news', 'sport'])
    await join(b, three.id, 'other')
    await a.run(primus => {
      const rooms = primus as unknown as RoomsServer
      rooms.room('news').write('to news')
      rooms.in('news sport').write('to both')
    })
    for (const client of [one, two]) assume(await client.count(2)).eql(['to news', 'to both'])
    await b.run(
      (primus, id, other) => {
        const rooms = primus as unknown as RoomsServer
        rooms.spark(id).room(['news', 'other']).except(id).write('not to two')
        rooms.except([other]).write('to all but one')
      },
      two.id,
      one.id
    )
    assume(await one.count(3)).eql(['to news', 'to both', 'not to two'])
    assume(await two.count(3)).eql(['to news', 'to both', 'to all but one'])
    assume((await three.count(2)).sort()).eql(['not to two', 'to all but one'])
  })

  it('says who is in a room and in which rooms a spark is, by callback, and of local sparks at once', async () => {
    const [a, b] = servers as [ServerProcess, ServerProcess]
    await join(a, one.id, ['news', 'sport'])
    await join(b, two.id, 'news')
    for (const server of servers) {
      assume(await members(server, 'news')).eql(sorted(one, two))
      assume(await members(server, 'none')).eql([])
      const empty = (room: string): Promise<unknown> =>
        server.run(
          (primus, room) =>
            new Promise((resolve, reject) => {
              ;(primus as unknown as RoomsServer).isRoomEmpty(room, (error, empty) => {
                if (error) reject(error)
                else resolve(empty)
              })
            }),
          room
        )
      assume(await empty('sport')).equals(false)
      assume(await empty('none')).equals(true)
    }
    const rooms = await b.run(
      (primus, id) =>
        new Promise<unknown>((resolve, reject) => {
          const rooms = primus as unknown as RoomsServer
          const now = [rooms.spark(id).rooms(), rooms.rooms()]
          rooms.rooms((error, all) => {
            if (error) reject(error)
            else resolve([...now, all?.sort()])
          })
        }),
      two.id
    )
    assume(rooms).eql([['news'], ['news'], ['news', 'sport']])
  })

  it('emits joinroom, leaveroom and leaveallrooms, with the rooms that a spark had when it went', async () => {
    const [a, b] = servers as [ServerProcess, ServerProcess]
    await b.run(
      (primus, ids) =>
        new Promise(resolve => {
          ;(primus as unknown as RoomsServer).join(ids, 'news sport', resolve)
        }),
      [two.id, three.id]
    )
    await b.run(
      (primus, id) =>
        new Promise(resolve => {
          ;(primus as unknown as RoomsServer).leave([id], 'sport', resolve)
        }),
      two.id
    )
    assume(await members(a, 'news')).eql(sorted(two, three))
    assume(await members(a, 'sport')).eql(sorted(three))
    await b.run(
      (primus, id) =>
        new Promise(resolve => {
          ;(primus as unknown as RoomsServer).spark(id).leaveAll(resolve)
        }),
      two.id
    )
    await three.close()
    await eventually(async () => (await noted(b)).filter(([event]) => event === 'leaveallrooms').length === 2)
    const all = (await noted(b)).map(([event, detail, spark]) => {
      return [event, Array.isArray(detail) ? detail.sort() : detail, spark === two.id ? 'two' : 'three']
    })
    assume(all.filter(([event]) => event === 'joinroom')).has.length(4)
    assume(all.filter(([event]) => event !== 'joinroom')).eql([
      ['leaveroom', 'sport', 'two'],
      ['leaveallrooms', ['news'], 'two'],
      ['leaveallrooms', ['news', 'sport'], 'three']
    ])
    await eventually(async () => (await members(a, 'news')).length === 0)
    assume(await noted(a)).eql([])
  })

  it('empties one room, or all', async () => {
    const [a, b] = servers as [ServerProcess, ServerProcess]
    await join(a, one.id, ['news', 'sport'])
    await join(b, two.id, ['news', 'sport', 'other'])
    const empty = (server: ServerProcess, room?: string): Promise<unknown> =>
      server.run(
        (primus, room) =>
          new Promise((resolve, reject) => {
            const done = (error: Error | null): void => {
              if (error) reject(error)
              else resolve(null)
            }
            const rooms = primus as unknown as RoomsServer
            if (room) rooms.empty(room, done)
            else rooms.empty(done)
          }),
        room
      )
    await empty(a, 'news')
    assume(await members(b, 'news')).eql([])
    assume(await members(b, 'sport')).eql(sorted(one, two))
    await empty(b)
    for (const room of ['sport', 'other']) assume(await members(a, room)).eql([])
  })

  it('sends the packets of primus-emitter', async () => {
    const [a, b] = servers as [ServerProcess, ServerProcess]
    await join(b, two.id, 'news')
    await a.run(primus => {
      ;(primus as unknown as RoomsServer).room('news').send('hello', 1, { two: 2 })
    })
    assume(await two.next()).eql({ type: 0, data: ['hello', 1, { two: 2 }] })
  })

  it('runs a transformer once, which has one parameter and no spark', async () => {
    const [a, b] = servers as [ServerProcess, ServerProcess]
    await join(a, one.id, 'news')
    await join(b, two.id, 'news')
    const runs = await a.run(primus => {
      const rooms = primus as unknown as RoomsServer
      const given = { text: 'given' }
      let runs = 0
      const transform = (fn: (this: unknown, packet: { data: unknown[] }, next?: () => void) => unknown): void => {
        rooms.room('news').transform(fn).write(given)
      }
      transform(packet => {
        runs++
        Object.assign(packet.data[0] as object, { text: 'changed' })
      })
      transform(() => false)
      transform(function () {
        return (this as { id: string }).id
      })
      transform((_packet, next) => next?.())
      return [runs, given.text]
    })
    assume(runs).eql([1, 'given'])
    const [error] = (await a.seen('error')) as [Error]
    assume(error.message).matches(/a transformer of rooms runs once, .* its `this` is no spark/)
    await a.run(primus => {
      ;(primus as unknown as RoomsServer).room('news').write('last')
    })
    for (const client of [one, two]) assume(await client.count(2)).eql([{ text: 'changed' }, 'last'])
  })

  it('refuses wildcards with a sentence, and ends no process by it', async () => {
    const [a, b] = servers as [ServerProcess, ServerProcess]
    await join(b, two.id, 'user:ann')
    const sentence = /a room must not contain `\*`, because groups have no patterns; given: 'user:\*'/
    assume((await rejection(join(a, one.id, 'user:*'))).message).matches(sentence)
    const [[event, message, spark] = []] = await noted(a)
    assume([event, spark]).eql(['roomserror', one.id])
    assume(message).matches(sentence)
    await a.run(primus => {
      const rooms = primus as unknown as RoomsServer
      for (let i = 0; i < 3; i++) rooms.room('user:*').write('to nothing')
      rooms.room('user:ann').write('to ann')
    })
    assume(await two.next()).equals('to ann')
    const [error] = (await a.seen('error')) as [Error & { code?: string }]
    assume(error.code).equals('EGROUP')
    assume(error.message).matches(sentence)
    assume(a.log.filter(({ event }) => event === 'error')).has.length(1)
    assume(two.messages).eql(['to ann'])
  })

  it('is the same as groups: the option `groups` and methods of the cluster name rooms too', async () => {
    const [a, b] = servers as [ServerProcess, ServerProcess]
    await a.call('metroplex.join', [one.id, two.id], 'news')
    assume(await b.run((primus, id) => (primus as unknown as RoomsServer).spark(id).rooms(), two.id)).eql(['news'])
    await join(b, three.id, 'news')
    assume(await a.call('forward.group', 'news', 'hello')).eql({ ok: true, send: 3 })
    for (const client of [one, two, three]) assume(await client.next()).equals('hello')
  })

  it('gives what it found beside the error, when a server does not answer', async () => {
    const [a] = servers as [ServerProcess]
    const quick = await start({ primus: { metroplex: { timeout: 3000 } } })
    const mute = await start()
    const [four, five] = [await openClient(quick.url), await openClient(mute.url)]
    await join(a, one.id, 'news')
    await join(quick, four.id, 'news')
    await join(mute, five.id, 'news')
    mute.pause()
    const [code, found] = await quick.run(
      primus =>
        new Promise<[unknown, string[] | undefined]>(resolve => {
          ;(primus as unknown as RoomsServer).room('news').clients((error, ids) => {
            resolve([error?.name, ids?.sort()])
          })
        })
    )
    mute.resume()
    assume(code).equals('AggregateError')
    assume(found).eql(sorted(one, four))
  })
})

describe('the adapter of rooms', () => {
  let redis: RedisProcess

  before(async () => {
    redis = await startRedis({ scope: 'suite' })
  })
  after(() => redis.stop())

  const told = (call: () => unknown): string => {
    try {
      call()
      return ''
    } catch (error) {
      return (error as Error).message
    }
  }

  it('says what it lacks without the plugin, and in a second Primus', async () => {
    const adapter = new RoomsAdapter()
    assume(told(() => adapter.get('x'))).includes('needs a Primus with the plugin `metroplex`')
    const target = { url: redis.url, namespace: namespace() }
    const first = await createRegistered({ redis: target, primus: { rooms: { adapter } } })
    assume(adapter.get('x')).eql([])
    const second = createPrimus({ redis: target, primus: { rooms: { adapter } } })
    assume((await rejection(second)).message).includes('create one for each')
    await first.dispose()
    assume(told(() => adapter.attach({ metroplex: {} }))).equals('')
  })

  it('refuses options that it does not have, sparks that are none, and a question without a callback', async () => {
    for (const options of [{ wildcards: false }, { wildcard: 'yes' }])
      assume(told(() => new RoomsAdapter(options as never))).includes('{ wildcard: true or false }')
    const adapter = new RoomsAdapter()
    const { metroplex } = await createRegistered({
      redis: { url: redis.url, namespace: namespace() },
      primus: { rooms: { adapter } }
    })
    const errors: string[] = []
    metroplex.on('error', ({ message }) => errors.push(message))
    adapter.broadcast(['x'], { rooms: ['x'] }, {})
    assume(errors.join()).includes('those of a channel of primus-multiplex are others')
    assume(told(() => adapter.isEmpty('x'))).includes('pass a callback')
    const answer = (call: (fn: (error: Error | null) => void) => void): Promise<string | undefined> =>
      new Promise(resolve => {
        call(error => resolve(error?.message))
      })
    assume(await answer(fn => adapter.add('unknown', 'x', fn))).equals("No server holds the spark 'unknown'.")
    assume(await answer(fn => adapter.add('unknown', 'é'.repeat(513), fn))).includes('at most 1024 bytes')
    assume(await answer(fn => adapter.del('unknown', 'x', fn))).equals(undefined)
    assume(await answer(fn => adapter.get('unknown', fn))).equals(undefined)
  })

  it('takes `*` for a letter with `wildcard: false`, and may be assigned to `primus.adapter`', async () => {
    const adapter = new RoomsAdapter({ wildcard: false })
    const { primus, metroplex, url } = await createRegistered({ redis: { url: redis.url, namespace: namespace() } })
    primus.plugin('rooms', loadPlugin('primus-rooms'))
    ;(primus as unknown as { adapter: object }).adapter = adapter.attach(primus)
    const client = await openClient(url)
    await eventually(() => primus.connected === 1)
    await new Promise(resolve => {
      ;(primus.spark(client.id) as unknown as RoomsSpark).join('a*', resolve)
    })
    assume(await metroplex.groupsOf(client.id)).eql(['a*'])
  })
})
