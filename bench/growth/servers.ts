import { BEYOND, beating, Cluster } from '../harness/cluster'
import { Stage } from '../harness/stage'
import { ours } from '../subjects'
import type { Growing } from './growing'

/**
 * Few with quick beats, to save time; many with the lease that is the default: all of them in one process have no time
 * for more. In ms.
 */
const FLEETS = [
  { sizes: [3, 10, 30, 100], lease: 3000, beats: 2 },
  { sizes: [300, 1000], lease: 15_000, beats: 1 }
]
const MOST = 1000
/** So many are measured at any rate. */
const LEAST = 3
/** More than these 1.x does not manage in time: each asks Redis for each. */
const MOST_OF_1X = 100

/** Servers that do nothing but be there: what a beat of all of them costs. */
export const servers: Growing = {
  name: 'servers',
  label: 'servers',
  costs: {
    commands: { title: 'Commands to Redis while each server beats once', unit: 'commands' },
    bytes: { title: 'Bytes to and from Redis while each server beats once', unit: 'bytes' },
    redis: { title: 'CPU of Redis while each server beats once', unit: 'µs of CPU' },
    join: { title: 'Bytes to and from Redis until all know one server more, beats among them', unit: 'bytes' }
  },

  async *measure(subject, { size }) {
    const most = Math.min(MOST * size, subject === ours ? Infinity : MOST_OF_1X)
    for (const { sizes, lease, beats } of FLEETS) {
      const chosen = sizes.filter(servers => servers <= Math.max(most, LEAST))
      if (chosen.length === 0) continue
      const stage = await Stage.open(subject, { servers: 1, options: beating(lease) })
      try {
        const cluster = await Cluster.open(stage, lease)
        try {
          for (const servers of chosen) {
            await cluster.grow(servers - 1)
            const join = await cluster.bytesOfJoining()
            const { figures } = await cluster.measure(beats)
            const each = (name: string): number => (figures?.[name] ?? NaN) * servers
            const costs = { commands: each('commands a beat'), bytes: each('bytes a beat'), redis: each(BEYOND), join }
            yield { size: servers, costs }
          }
        } finally {
          await cluster.close()
        }
      } finally {
        await stage.close()
      }
    }
  }
}
