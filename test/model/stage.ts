import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Redis } from 'ioredis'
import type { Metroplex } from '../../index'
import { startRedis, type RedisProcess } from '../support/redis'

/** How many servers there are at most at a time. */
export const SERVERS = 3

/**
 * What outlives a run: a Redis of its own, and the ports that servers listen on. One run at a time.
 *
 * @example
 * const stage = await openStage()
 * await using world = new World(stage, new Model(SERVERS))
 */
export class Stage {
  constructor(
    readonly redis: RedisProcess,
    /** Looks at Redis directly, past all that is done to the servers' connections. */
    readonly client: Redis,
    readonly doors: readonly Door[]
  ) {}

  get addresses(): string[] {
    return this.doors.map(({ address }) => address)
  }

  door(server: number): Door {
    const door = this.doors[server]
    if (door === undefined) throw new Error(`there is no door ${server}`)
    return door
  }

  async close(): Promise<void> {
    await Promise.all(this.doors.map(door => door.close()))
    this.client.disconnect()
    await this.redis.stop()
  }
}

/** Starts a Redis and opens the doors. The caller closes the stage. */
export async function openStage(): Promise<Stage> {
  const redis = await startRedis({ scope: 'suite' })
  const doors = await Promise.all(Array.from({ length: SERVERS }, () => openDoor()))
  return new Stage(redis, redis.client(), doors)
}

/**
 * The port of a server. It stays ours while the server is away, so that no other program takes it. Connections are
 * closed at once then.
 */
export class Door {
  /** Who answers. */
  server: Metroplex | undefined

  constructor(
    readonly address: string,
    private readonly listener: Server
  ) {}

  async close(): Promise<void> {
    this.listener.closeAllConnections()
    this.listener.close()
    await once(this.listener, 'close')
  }
}

async function openDoor(): Promise<Door> {
  const listener = createServer((req, res) => {
    const { server } = door
    if (server === undefined) req.socket.destroy()
    else
      server.core.gateway.middleware.call({} as never, req, res, () => {
        res.writeHead(404).end()
      })
  }).listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const door = new Door(`http://127.0.0.1:${(listener.address() as AddressInfo).port}`, listener)
  return door
}
