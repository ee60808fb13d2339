import type { AddressInfo } from 'node:net'
import type { Balanced } from '../../index'
import { assume } from '../support/assume'
import { startBalancer, type Balancer } from '../support/balancer'
import { openClient, type Client } from '../support/client'
import { createRegistered, type Registered } from '../support/registered'
import { sharedRedis } from '../support/shared-redis'
import { startServer } from '../support/server'
import { eventually } from '../support/wait'
import { at, metroplex, type Answer } from './asked'

/** Two leases without a join or departure are quiet. */
const QUICK = { interval: 6000, latency: 600, metroplex: { lease: 1000, timeout: 5000 } }

/** A client that is let go is back soon. */
const BACK = { reconnect: { min: 10, max: 50, retries: 1000 } }

interface Outcomes {
  servers: { address: string; balanced: Balanced | null; error?: string }[]
}

describe('the command metroplex balance', function () {
  this.timeout(90_000)
  const shared = sharedRedis()
  const ask = (...args: string[]): Promise<Answer> => metroplex(args, at(shared.redis.url, shared.space))

  const start = (name: string): Promise<Registered> =>
    createRegistered({
      redis: { url: shared.redis.url, namespace: shared.space },
      primus: { ...QUICK, metroplex: { ...QUICK.metroplex, name } }
    })

  const port = ({ server }: Registered): number => (server.address() as AddressInfo).port

  /** Connects clients through a balancer to one server. */
  const crowd = async (balancer: Balancer, count: number): Promise<Client[]> => {
    const clients: Client[] = []
    for (let i = 0; i < count; i++) clients.push(await openClient(`${balancer.url}?client=${i}`, { options: BACK }))
    return clients
  }

  /** No server has joined or left lately, so that a balance may end sparks. */
  const calm = async (servers: readonly Registered[]): Promise<void> => {
    for (const server of servers)
      await eventually(async () => (await server.metroplex.balance({ tolerance: 1 })).stopped === undefined, {
        what: 'a quiet cluster',
        within: 15_000
      })
  }

  it('has full servers end sparks until they are near the mean, and says what each has done', async () => {
    const servers = [await start('web-1'), await start('web-2')]
    const [a, b] = servers as [Registered, Registered]
    await calm(servers)
    const balancer = await startBalancer(() => port(a))
    await crowd(balancer, 20)
    let turn = 0
    balancer.choose = () => port(servers[turn++ % 2] as Registered)
    const { code, stderr, json } = await ask('balance', '--tolerance', '10%', '--rate', '1000', '--yes', '--json')
    assume([code, stderr]).eql([0, ''])
    const { servers: outcomes } = json() as Outcomes
    const of = (server: Registered): Balanced | null | undefined =>
      outcomes.find(({ address }) => address === server.address)?.balanced
    assume([of(a)?.target, of(a)?.sparks, of(a)?.stopped]).eql([11, 11, undefined])
    assume(of(a)?.ended).is.above(8)
    assume(of(b)?.ended).equals(0)
    await eventually(() => a.primus.connected + b.primus.connected === 20)
  })

  it('says that a balancer sends the clients back', async () => {
    const servers = [await start('web-1'), await start('web-2')]
    const [a] = servers as [Registered, Registered]
    a.metroplex.on('error', () => undefined)
    await calm(servers)
    await crowd(await startBalancer(() => port(a)), 30)
    const { code, stdout } = await ask('balance', 'web-1', '--rate', '1000', '--yes')
    assume(code).equals(1)
    assume(stdout).matches(/has ended \d+ sparks: .* It stopped, because most clients came straight back \(ESTICKY\): /)
    await eventually(() => a.primus.connected === 30)
  })

  it('names servers that cannot balance: of 1.x, of earlier releases, and mute ones', async () => {
    const a = await start('web-1')
    const old = await startServer({
      redis: { url: shared.redis.url, namespace: shared.space },
      metroplex: '1.0.2',
      omega: true
    })
    const mute = await startServer({ redis: { url: shared.redis.url, namespace: shared.space } })
    // It announces no answers to operators, as 2.0.0-rc.1 does not.
    const earlier = await start('web-2')
    const kinds = earlier.metroplex.core.gateway.kinds.replace(' operate', '')
    Object.defineProperty(earlier.metroplex.core.gateway, 'kinds', { value: kinds })
    await earlier.metroplex.unregister()
    await earlier.metroplex.register()
    mute.pause()
    const { code, json } = await ask('balance', '--yes', '--json', '--timeout', '1s')
    mute.resume()
    const { servers } = json() as Outcomes
    const errorOf = (address: string): string | undefined => servers.find(one => one.address === address)?.error
    assume(code).equals(1)
    assume(errorOf(old.address)).equals(
      `${old.address} cannot be asked: it runs metroplex 1.x, which answers no questions.`
    )
    assume(errorOf(earlier.address)).includes('runs an earlier release of metroplex, which cannot be told to balance')
    assume(errorOf(mute.address)).includes('1000 ms')
    assume(errorOf(a.address)).equals(undefined)
  })

  it('asks first, and takes a share and a rate', async () => {
    for (const [args, sentence] of [
      [['balance'], /^Balancing servers has to be confirmed, and there is no terminal to ask on: add --yes\./],
      [['balance', '--yes', '--tolerance', '200%'], /It must be a share of the mean, from 0 to 1 or 0% to 100%/],
      [['balance', '--yes', '--rate', '1001'], /It must be a number of sparks a second, above 0 and at most 1000\./]
    ] as const) {
      const { code, stderr } = await ask(...args)
      assume([args, code]).eql([args, 2])
      assume(stderr).matches(sentence)
    }
  })
})
