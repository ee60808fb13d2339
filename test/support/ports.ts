import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'

/** Redis Cluster talks on its port + 10000, which has to be a port too. */
const highest = 65_535 - 10_000

/**
 * A port of 127.0.0.1 that was free a moment ago.
 *
 * Somebody may take it before you do: be ready to ask for another one. Listen on
 * port 0 instead wherever that is possible.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    server.close()
    await once(server, 'close')
    if (port <= highest) return port
  }
}
