import { Ground } from './faults/ground'
import { assume } from './support/assume'
import { openClient } from './support/client'
import { clock, saidBy } from './support/health-log'
import type { ServerProcess } from './support/server'
import { eventually } from './support/wait'

/** How many clients come and go, and how many of them at a time. */
const [CLIENTS, AT_ONCE] = [1000, 50]

/** A lease that a busy machine leaves the servers time to renew. */
const PATIENT = { metroplex: { lease: 6000 } }

/** Let clients come to these servers, and go. */
async function visit(servers: readonly ServerProcess[]): Promise<void> {
  for (let came = 0; came < CLIENTS; came += AT_ONCE) {
    const clients = await Promise.all(
      Array.from({ length: AT_ONCE }, (_, i) => openClient(servers[i % servers.length]?.url ?? ''))
    )
    await Promise.all(clients.map(client => client.close()))
  }
}

describe('health() of a server that nothing is wrong with', () => {
  it('is ok while peers join, heal, drain and leave, and 1,000 clients come and go', async function () {
    this.timeout(180_000)
    const ground = await Ground.make(false)
    ground.observed = []
    const witnesses = [await ground.start(PATIENT), await ground.start(PATIENT)]
    await ground.ready(...witnesses)
    const began = clock()
    const visiting = visit(witnesses)
    for (let round = 0; round < 3; round++) {
      const [drains, leaves] = [await ground.start(PATIENT), await ground.start(PATIENT)]
      await ground.crowd(drains, 500, `of ${round}`)
      await ground.settled(...witnesses, drains, leaves).catch(() => undefined)
      // Entries that are gone are written again by the server that they belong to.
      await ground.client.del(...ground.keys(`${drains.address}:sparks`))
      await drains.seen('heal', { within: 20_000 })
      assume(await drains.call('metroplex.drain')).is.a('object')
      await Promise.all([drains.stop(), leaves.stop()])
    }
    await visiting
    for (const witness of witnesses) {
      await eventually(async () => ((await witness.call('metroplex.health')) as { ok: boolean }).ok)
      assume(saidBy(witness).filter(({ at, ok }) => at > began && !ok)).eql([])
    }
    ground.sound(...witnesses)
  })
})
