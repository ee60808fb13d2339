import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import { interfaceOf, parse } from '../../address'
import { ignore } from '../../callback'
import { asError, MetroplexError } from '../../errors'
import type { Listen, TlsOptions } from '../../types'

/** Takes what comes in; calls `next` for what it does not take. Of an upgrade the second one is a socket. */
export type Take = (req: IncomingMessage, res: ServerResponse, next: () => void) => void

/**
 * A listener for peers alone, beside the one for clients: on a port of its own, which this process shares with no other. It speaks TLS when it is given a key
 * and a certificate, and keeps no process alive.
 */
export class Listener {
  readonly #server: Server
  /** All connections, also those that no request has come on, and those that were upgraded. */
  readonly #sockets = new Set<Socket>()
  readonly #closing = new AbortController()
  #opened: Promise<void> | undefined
  #closed: Promise<void> | undefined

  constructor(private readonly where: Listen & { readonly address: string; readonly tls: TlsOptions | undefined }, take: Take) {
    const { tls } = where
    const serve = (req: IncomingMessage, res: ServerResponse): void => {
      take(req, res, () => { res.writeHead(404, { connection: 'close' }).end() })
    }
    this.#server = tls?.key !== undefined && tls.cert !== undefined ? createSecureServer(tls as object, serve) : createServer(serve)
    this.#server.on('upgrade', (req, socket) => {
      socket.on('error', ignore)
      take(req, socket as never, () => { socket.destroy() })
    })
    this.#server.on('connection', socket => {
      this.#sockets.add(socket)
      socket.unref()
      socket.once('close', () => { this.#sockets.delete(socket) })
    })
    this.#server.on('clientError', (_error, socket) => { socket.destroy() })
  }

  /** Where peers reach it; `''` while it does not listen. */
  get address(): string {
    return parse(this.#server)
  }

  /**
   * Begin to listen; harmless when called twice.
   *
   * @param beside the interface to be on, unless another one was asked for; `''`: whichever others can reach
   * @throws MetroplexError `EADDRESS` when that cannot be, `ECLOSED` when it has been closed meanwhile
   */
  open(beside = ''): Promise<void> {
    return this.#opened ??= this.#open(beside)
  }

  async #open(beside: string): Promise<void> {
    const closed = (): MetroplexError => new MetroplexError('ECLOSED', 'The private listener was closed.')
    if (this.#closing.signal.aborted) throw closed()
    const { address, host = beside || interfaceOf(address, networkInterfaces()), port = 0 } = this.where
    this.#server.listen({ host, port, exclusive: true })
    try {
      await once(this.#server, 'listening', { signal: this.#closing.signal })
    } catch (error) {
      if (error instanceof Error && error.name === 'AbortError') throw closed()
      throw new MetroplexError('EADDRESS', `The private listener could not listen at ${host}:${port}: ${asError(error).message}. See \`listen\`.`, { cause: error })
    }
    this.#server.unref()
    this.#server.on('error', ignore)
  }

  /** End it and all its connections. */
  close(): Promise<void> {
    this.#closing.abort()
    return this.#closed ??= new Promise(resolve => {
      this.#server.close(() => { resolve() })
      for (const socket of this.#sockets) socket.destroy()
    })
  }
}
