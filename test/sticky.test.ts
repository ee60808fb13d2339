import { startBalancer, startWorkers, type Workers } from './sticky/workers'
import { assume } from './support/assume'
import { openClient, type Client } from './support/client'
import { using } from './support/dispose'
import { namespace } from './support/namespace'
import { reservePort } from './support/ports'
import { startRedis, type RedisProcess } from './support/redis'
import { startServer, type ServerProcess } from './support/server'
import { eventually } from './support/wait'

/** How SockJS clients come to four workers of one machine. */
interface Way {
  readonly name: string
  readonly transport: string
  readonly clients: number
  /** One that all workers share, or one for each. */
  readonly ports: () => Promise<number[]>
  /** Where clients connect. */
  readonly url: (ports: readonly number[]) => Promise<string>
}

const ways: Way[] = [
  {
    name: 'over WebSocket alone on the port that all workers share',
    transport: 'websocket',
    clients: 40,
    ports: async () => [await reservePort()],
    url: ([port]) => Promise.resolve(`http://127.0.0.1:${port}`)
  },
  {
    name: 'by polling to a port for each worker, behind a balancer that goes by the session in the path',
    transport: 'xhr-polling',
    clients: 12,
    ports: () => Promise.all([reservePort(), reservePort(), reservePort(), reservePort()]),
    url: async ports => {
      const balancer = await startBalancer(ports)
      using(() => balancer.close())
      return balancer.url
    }
  }
]

describe('SockJS clients', function () {
  this.timeout(120_000)

  let redis: RedisProcess
  before(async () => {
    redis = await startRedis({ scope: 'suite' })
  })
  after(() => redis.stop())

  for (const { name, transport, clients, ports, url } of ways) {
    describe(name, () => {
      let listening: number[]
      let workers: Workers
      /** One more server, which tells what the cluster knows. */
      let other: ServerProcess

      before(async () => {
        const space = namespace()
        listening = await ports()
        workers = await startWorkers(redis.url, space, listening)
        other = await startServer({ redis: { url: redis.url, namespace: space }, scope: 'suite' })
      })
      after(async () => {
        await other.stop()
        await workers.stop()
      })

      async function connect(): Promise<Client[]> {
        const at = await url(listening)
        const options = { transport: { transports: [transport] }, reconnect: { min: 50, max: 500, retries: 100 } }
        return Promise.all(Array.from({ length: clients }, () => openClient(at, { transformer: 'sockjs', options })))
      }

      /** Where each of them is, when the cluster knows them all, and no one else. */
      async function places(all: readonly Client[]): Promise<string[]> {
        return eventually(
          async () => {
            const found = (await other.call(
              'metroplex.sparks',
              all.map(({ id }) => id)
            )) as (string | null)[]
            assume(found).does.not.contain(null)
            assume(await other.call('metroplex.count')).equals(clients)
            return found as string[]
          },
          { what: 'an entry for each client' }
        )
      }

      /** Has every worker send something to every client, and finds that each client got each of it once. */
      async function reached(all: readonly Client[], what: string): Promise<void> {
        const addresses = (await other.call('metroplex.servers')) as string[]
        assume(addresses.length).equals(4)
        const sent = addresses.map(address => `${what} from ${address}`)
        await Promise.all(
          all.flatMap(({ id }) =>
            addresses.map(async (to, i) => {
              const [answer] = (await other.call('metroplex.call', 'send', [id, sent[i]], { to })) as {
                value?: { ok?: boolean }
              }[]
              assume(answer?.value?.ok).equals(true)
            })
          )
        )
        for (const client of all) {
          const got = (): unknown[] => client.messages.filter(message => String(message).startsWith(what))
          await eventually(() => got().length >= sent.length, { what: 'a message from each worker' })
          assume(got().sort()).eql(sent.sort())
        }
      }

      it('all connect, to more than one worker', async () => {
        const found = await places(await connect())
        assume(new Set(found).size).is.above(1)
      })

      it('get what any worker sends them', async () => {
        const all = await connect()
        await places(all)
        await reached(all, 'hello')
      })

      it('come back when all workers are replaced, and get what the new ones send them', async () => {
        const all = await connect()
        const before = await places(all)
        const known = new Map(all.map(client => [client, client.id]))
        await workers.recycle()
        await Promise.all(
          all.map(client =>
            eventually(async () => (await client.identify()) !== known.get(client), {
              within: 20_000,
              what: 'another spark'
            })
          )
        )
        const after = await places(all)
        assume(after.filter(address => before.includes(address))).eql([])
        await reached(all, 'hello again')
      })
    })
  }
})
