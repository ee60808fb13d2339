import { once } from 'node:events'
import { createServer, type Server } from 'node:net'

const host = '127.0.0.1'

/**
 * Where reserved ports lie: below those that systems give to outgoing connections and to listeners on port 0, which
 * begin at 32,768 on Linux and at 49,152 elsewhere. Redis Cluster also takes the port 10,000 above its own, which lies
 * below them too.
 */
const [FIRST, LAST] = [10_000, 19_999]

/** The ports of one process: the first one is bound for as long as the process lives, the others are given out. */
const SIZE = 100
const SLICES = (LAST - FIRST + 1) / SIZE

let slice: Promise<Slice> | undefined

interface Slice {
  /** Holds the first port. It is kept here so that it is not collected. */
  readonly guard: Server
  readonly first: number
  /** How many ports have been given out. */
  given: number
}

/**
 * A port of 127.0.0.1 that no one else takes, for a program that cannot listen on port 0: a Redis, or a server that
 * comes back on its port after its end. An address with such a port, where nothing has been started, refuses
 * connections.
 *
 * Each process has a hundred ports to itself, because it binds the first of them; and the system gives none of them to
 * others. They are given out in turn: the same one comes again after 98 others.
 *
 * Listen on port 0 instead wherever that is possible.
 *
 * @throws When 100 processes of this machine have reserved ports, or none of the ports of this one is free.
 */
export async function reservePort(): Promise<number> {
  slice ??= claim()
  const own = await slice
  for (let tried = 1; tried < SIZE; tried++) {
    const port = own.first + 1 + (own.given++ % (SIZE - 1))
    // A program that is not ours may listen there, and so may one that was given this port before.
    const probe = await bind(port)
    if (probe === undefined) continue
    probe.close()
    await once(probe, 'close')
    return port
  }
  throw new Error(`All ports from ${own.first + 1} to ${own.first + SIZE - 1} are in use: stop what listens there.`)
}

/**
 * Bind the first port of a slice that no other process has. Where to begin is arbitrary: then few tries are in vain.
 */
async function claim(): Promise<Slice> {
  for (let i = 0; i < SLICES; i++) {
    const first = FIRST + ((process.pid + i) % SLICES) * SIZE
    const guard = await bind(first)
    if (guard !== undefined) return { guard: guard.unref(), first, given: 0 }
  }
  throw new Error(`Each hundred of the ports from ${FIRST} to ${LAST} is reserved: end other runs of the tests.`)
}

/** Listen on a port; `undefined` when it is in use. */
async function bind(port: number): Promise<Server | undefined> {
  // A worker of node:cluster would get the socket of its primary otherwise.
  const server = createServer().listen({ port, host, exclusive: true })
  try {
    await once(server, 'listening')
    return server
  } catch (error) {
    if (['EADDRINUSE', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw error
  }
}
