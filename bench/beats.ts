/** What it costs Redis that servers are there and look after each other, as they become more. */
import { beating, Cluster } from './harness/cluster'
import type { Work } from './harness/work'

const SIZES = [3, 10, 30, 100]
/** Milliseconds. */
const LEASE = 1500
/** So many beats of each server are measured. */
const BEATS = 5

export const beats: Work = {
  name: 'beats',
  cast: () => ({ servers: 1, options: beating(LEASE) }),

  async *measure(stage, { size }) {
    const cluster = await Cluster.open(stage, LEASE)
    try {
      for (const servers of SIZES.filter(servers => servers <= Math.max(3, 300 * size))) {
        await cluster.grow(servers)
        yield await cluster.measure(BEATS)
      }
    } finally {
      await cluster.close()
    }
  }
}
