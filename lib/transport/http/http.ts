import type { Answer, Limits, Peer, Request } from '../../common/transport-contract'
import type { Middleware } from '../../common/types'
import type { Reception, ReceptionTransport } from '../receiving/reception-contract'
import { HttpClient, type ClientTerms } from './client'
import { HttpServer } from './server'
import { endpoint } from './protocol'

/** Options of the HTTP transport. */
export interface HttpTerms extends ClientTerms {
  /** The path of Primus, below which the endpoint lies. */
  readonly pathname: () => string
}

/** The largest batch of several messages, in bytes: more gains nothing, and delays the messages behind it. */
const BATCH = 262_144

/**
 * Servers communicate by HTTP, on the port of Primus and below its path, or on a private port.
 *
 * There is one stream to each peer, which an upgrade opens when it is first needed; both ends can send requests on it.
 * Where a proxy refuses the upgrade, each request is a PUT, and there is no return path. See `Stream`, `PutFallback`.
 */
export class HttpTransport implements ReceptionTransport {
  readonly name = 'http'
  readonly limits: Limits
  readonly #server: HttpServer
  readonly #client: HttpClient

  constructor(terms: HttpTerms) {
    this.limits = { body: terms.maxBody, batch: Math.min(BATCH, terms.maxBody) }
    this.#server = new HttpServer(() => endpoint({ pathname: terms.pathname() }))
    this.#client = new HttpClient(terms)
  }

  /** The layer for requests and upgrades: for Primus, before its `authorization`, or for a `Listener`. */
  get middleware(): Middleware {
    return this.#server.middleware
  }

  open(receiver: Reception): void {
    this.#server.open(receiver)
    this.#client.open(receiver)
  }

  greet(peer: Peer, hello: Request, deadline: number): Promise<Answer> {
    return this.#client.greet(peer, hello, deadline)
  }

  send(peer: Peer, request: Request, deadline: number): Promise<Answer> {
    return this.#client.send(peer, request, deadline)
  }

  pipelines(address: string): boolean {
    return this.#client.pipelines(address)
  }

  release(address: string): void {
    this.#client.release(address)
  }

  /** Close the streams that peers have opened. New ones are accepted. */
  releaseStreams(): void {
    this.#server.release()
  }

  close(): Promise<void> {
    this.#server.close()
    this.#client.close()
    return Promise.resolve()
  }
}
