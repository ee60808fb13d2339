import type { Answer, Limits, Peer, Receiver, Request, Transport } from '../../contract'
import type { Middleware } from '../../types'
import { HttpClient, type ClientTerms } from './client'
import { HttpServer } from './server'
import { endpoint } from './wire'

/** How we talk by HTTP. */
export interface HttpTerms extends ClientTerms {
  /** Primus's path, below which we are asked. */
  readonly pathname: () => string
}

/** What several messages together should not exceed, in bytes: more gains nothing, and delays what waits behind. */
const BATCH = 262_144

/**
 * Servers talk to each other by HTTP, at the port where Primus listens and below its path, or at a port of their own.
 *
 * There is one stream to each peer, opened by an upgrade when it is first needed, on which both ends may ask. Where a proxy
 * refuses the upgrade, the same requests go one by one, each in a PUT, and nothing goes back. See `Stream` and `Single`.
 */
export class HttpTransport implements Transport {
  readonly name = 'http'
  readonly limits: Limits
  readonly #server: HttpServer
  readonly #client: HttpClient

  constructor(terms: HttpTerms) {
    this.limits = { body: terms.maxBody, batch: Math.min(BATCH, terms.maxBody) }
    this.#server = new HttpServer(() => endpoint({ pathname: terms.pathname() }))
    this.#client = new HttpClient(terms)
  }

  /** A layer for Primus, before its `authorization`, or for a `Listener`: for requests and for upgrades. */
  get middleware(): Middleware {
    return this.#server.middleware
  }

  open(receiver: Receiver): void {
    this.#server.open(receiver)
    this.#client.open(receiver)
  }

  greet(peer: Peer, hello: Request, deadline: number): Promise<Answer> {
    return this.#client.greet(peer, hello, deadline)
  }

  send(peer: Peer, request: Request, deadline: number): Promise<Answer> {
    return this.#client.send(peer, request, deadline)
  }

  release(address: string): void {
    this.#client.release(address)
  }

  close(): Promise<void> {
    this.#server.close()
    this.#client.close()
    return Promise.resolve()
  }
}
