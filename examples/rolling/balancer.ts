import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

/** A load balancer: accepts connections and hands each to the next server that accepts it. */
export class Balancer {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #turn = 0

  /** @param ports of the servers, whether they run or not */
  constructor(private readonly ports: readonly number[]) {
    this.#server = createServer(client => {
      this.#lead(this.#own(client), ports.length)
    })
  }

  /** Starts to listen. Resolves with the URL for clients. */
  async open(): Promise<string> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Cuts all connections. */
  async close(): Promise<void> {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await once(this.#server, 'close')
  }

  #lead(client: Socket, tries: number): void {
    const port = this.ports[this.#turn++ % this.ports.length]
    if (port === undefined || tries === 0) {
      client.destroy()
      return
    }
    const server = this.#own(connect(port, '127.0.0.1'))
    const next = (): void => {
      this.#lead(client, tries - 1)
    }
    server.once('error', next)
    server.once('connect', () => {
      server.off('error', next)
      client.pipe(server).pipe(client)
      for (const [one, other] of [
        [client, server],
        [server, client]
      ] as const)
        one.once('close', () => {
          other.destroy()
        })
    })
  }

  #own(socket: Socket): Socket {
    this.#sockets.add(socket)
    socket.on('error', () => undefined)
    socket.once('close', () => {
      this.#sockets.delete(socket)
    })
    return socket
  }
}
