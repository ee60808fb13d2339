import { LEASE } from '../faults/ground'
import type { TcpProxy } from '../support/proxy'
import type { RedisProcess } from '../support/redis'
import type { ServerProcess } from '../support/server'

/** One place for a server, which may be killed and started again there. */
export interface Seat {
  server: ServerProcess
  /** Its way to Redis. */
  readonly proxy: TcpProxy
  /** Whether it may be killed; one that may not shows what memory does over time. */
  readonly mortal: boolean
  /** Whether clients can reach it at the moment. */
  open: boolean
}

/** What can happen. It lasts for as long as the fault is meant to; everything is whole again when it resolves. */
export interface Accident {
  readonly name: string
  /** Whether peers are right to say of its victim that it has left. */
  readonly deadly: boolean
  readonly mortal?: true
  happen(seat: Seat, redis: RedisProcess, restart: (seat: Seat) => Promise<void>): Promise<void>
}

/** The length of a fault is the fault itself: nothing could be awaited instead. */
const lasting = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

const [SHORT, LONG] = [LEASE / 2, 3 * LEASE]

async function stopped(seat: Seat, ms: number): Promise<void> {
  seat.open = false
  seat.server.pause()
  await lasting(ms)
  seat.server.resume()
  seat.open = true
}

async function frozen({ proxy }: Seat, ms: number): Promise<void> {
  proxy.freeze()
  await lasting(ms)
  proxy.thaw()
}

async function away(redis: RedisProcess, ms: number): Promise<void> {
  redis.pause()
  await lasting(ms)
  redis.resume()
}

/** Everything that can happen. */
export const accidents: readonly Accident[] = [
  {
    name: 'killed',
    deadly: true,
    mortal: true,
    happen: async (seat, _redis, restart) => {
      seat.open = false
      await seat.server.kill()
      await restart(seat)
    }
  },
  { name: 'stopped briefly', deadly: false, happen: seat => stopped(seat, SHORT) },
  { name: 'stopped for long', deadly: true, happen: seat => stopped(seat, LONG) },
  {
    name: 'cut',
    deadly: false,
    happen: async ({ proxy }) => {
      await lasting(0)
      proxy.cut()
    }
  },
  { name: 'frozen briefly', deadly: false, happen: seat => frozen(seat, SHORT) },
  { name: 'frozen for long', deadly: true, happen: seat => frozen(seat, LONG) },
  {
    name: 'an answer lost',
    deadly: false,
    happen: async ({ proxy }) => {
      await lasting(0)
      proxy.dropNextReply({ cut: true })
    }
  },
  {
    name: 'flushed',
    deadly: false,
    happen: async (_seat, redis) => {
      await redis.ask(client => client.flushall())
    }
  },
  { name: 'restarted empty', deadly: false, happen: (_seat, redis) => redis.restart({ empty: true }) },
  { name: 'restarted', deadly: false, happen: (_seat, redis) => redis.restart({ empty: false }) },
  { name: 'Redis away briefly', deadly: false, happen: (_seat, redis) => away(redis, SHORT) },
  { name: 'Redis away for long', deadly: false, happen: (_seat, redis) => away(redis, LONG) }
]
