import { beating, Cluster } from '../harness/cluster'
import { Stage } from '../harness/stage'
import { ours } from '../subjects'
import { within, type Growing } from './growing'

const SIZES = [3, 10, 30, 100, 300, 1000]
/** More than these 1.x does not manage in time: each asks Redis for each. */
const MOST_OF_1X = 100
/** Milliseconds. */
const LEASE = 4500
const BEATS = 2

/** Servers that do nothing but be there: what a beat of all of them costs. */
export const servers: Growing = {
  name: 'servers',
  label: 'servers',
  costs: {
    commands: { title: 'Commands to Redis while each server beats once', unit: 'commands' },
    bytes: { title: 'Bytes to and from Redis while each server beats once', unit: 'bytes' },
    redis: { title: 'CPU of Redis while each server beats once', unit: 'µs of CPU' }
  },

  async *measure(subject, { size }) {
    const stage = await Stage.open(subject, { servers: 1, options: beating(LEASE) })
    try {
      const cluster = new Cluster(stage, LEASE)
      for (const servers of within(SIZES, subject === ours ? 1000 * size : Math.min(MOST_OF_1X, 1000 * size))) {
        await cluster.grow(servers)
        const { cpu: { redis = 0 }, figures: { 'commands a beat': commands = 0, 'bytes a beat': bytes = 0 } = {} } = await cluster.measure(BEATS)
        yield { size: servers, costs: { commands: commands * servers, bytes: bytes * servers, redis: redis * servers } }
      }
    } finally {
      await stage.close()
    }
  }
}
