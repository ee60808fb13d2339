import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createSecureServer, Server as SecureServer } from 'node:https'
import type { Socket } from 'node:net'
import { interfaceOf, interfaces, parse } from '../../common/address'
import { ignore } from '../../common/callback'
import { asError, MetroplexError } from '../../common/errors'
import type { Listen, TlsOptions } from '../../common/types'

/** Handles a request or an upgrade, or calls `next`. Of an upgrade the second parameter is a socket. */
export type RequestHandler = (req: IncomingMessage, res: ServerResponse, next: () => void) => void

/**
 * A listener for peers only, on a port that this process shares with no other. It speaks TLS when it has a key and a
 * certificate. It does not keep the process alive.
 */
export class Listener {
  readonly #server: Server
  /** All connections, including idle and upgraded ones. */
  readonly #sockets = new Set<Socket>()
  readonly #closing = new AbortController()
  /** The parts of `tls` that are served. */
  #certificate: readonly unknown[]
  #opened: Promise<void> | undefined
  #closed: Promise<void> | undefined

  constructor(
    private readonly where: Listen & { readonly address: string; readonly tls: TlsOptions | undefined },
    handle: RequestHandler
  ) {
    const { tls } = where
    this.#certificate = [tls?.key, tls?.cert, tls?.ca, tls?.passphrase]
    const serve = (req: IncomingMessage, res: ServerResponse): void => {
      handle(req, res, () => {
        res.writeHead(404, { connection: 'close' }).end()
      })
    }
    this.#server =
      tls?.key !== undefined && tls.cert !== undefined ? createSecureServer(tls as object, serve) : createServer(serve)
    this.#server.on('upgrade', (req, socket) => {
      socket.on('error', ignore)
      handle(req, socket as never, () => {
        socket.destroy()
      })
    })
    // Before the handshake begins.
    this.#server.prependListener('connection', socket => {
      this.#followCertificate()
      this.#sockets.add(socket)
      socket.unref()
      socket.once('close', () => {
        this.#sockets.delete(socket)
      })
    })
    this.#server.on('clientError', (_error, socket) => {
      socket.destroy()
    })
  }

  /**
   * Use what the application has renewed in `tls` since the last connection: a process may outlive its certificate, and
   * the application cannot reach this server.
   */
  #followCertificate(): void {
    const { tls } = this.where
    if (!(this.#server instanceof SecureServer) || tls === undefined) return
    const current = [tls.key, tls.cert, tls.ca, tls.passphrase]
    if (current.every((part, at) => part === this.#certificate[at])) return
    try {
      this.#server.setSecureContext(tls)
      this.#certificate = current
    } catch {
      // The former one serves until key and certificate fit together.
    }
  }

  /** The address at which peers reach it; `''` while it does not listen. */
  get address(): string {
    return parse(this.#server)
  }

  /**
   * Start to listen. Idempotent.
   *
   * @param beside the interface to use unless the option `host` is set; `''` for one that other machines can reach
   * @throws MetroplexError `EADDRESS` when it cannot listen, `ECLOSED` when it was closed meanwhile
   */
  open(beside = ''): Promise<void> {
    return (this.#opened ??= this.#open(beside))
  }

  async #open(beside: string): Promise<void> {
    const closed = (): MetroplexError => new MetroplexError('ECLOSED', 'The private listener was closed.')
    if (this.#closing.signal.aborted) throw closed()
    const { address, port = 0 } = this.where
    const host = this.where.host ?? (beside || interfaceOf(address, interfaces('`metroplex: { listen: { host } }`')))
    this.#server.listen({ host, port, exclusive: true })
    try {
      await once(this.#server, 'listening', { signal: this.#closing.signal })
    } catch (error) {
      if (error instanceof Error && error.name === 'AbortError') throw closed()
      throw new MetroplexError(
        'EADDRESS',
        `The private listener could not listen at ${host}:${port}: ${asError(error).message}. See \`listen\`.`,
        { cause: error }
      )
    }
    this.#server.unref()
    this.#server.on('error', ignore)
  }

  /** Close it and all its connections. */
  close(): Promise<void> {
    this.#closing.abort()
    return (this.#closed ??= new Promise(resolve => {
      this.#server.close(() => {
        resolve()
      })
      for (const socket of this.#sockets) socket.destroy()
    }))
  }
}
