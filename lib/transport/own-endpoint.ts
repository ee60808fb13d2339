import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Settings } from '../common/options'
import type { Middleware, Primus } from '../common/types'
import type { HttpTransport } from './http/http'
import { Listener } from './http/listener'
import type { SelfProbe } from './self-probe'

/**
 * Where this server answers its peers by HTTP: on the port of Primus, or on a private listener.
 *
 * Both serve the probe and, if that is the transport, HTTP.
 */
export class OwnEndpoint {
  readonly #listener: Listener | undefined
  /** Layers that the private listener serves besides. */
  readonly #layers: Middleware[] = []

  constructor(
    private readonly settings: Pick<Settings, 'address' | 'listen' | 'tls'>,
    /** Absent in a process that only asks. */
    private readonly primus: Partial<Primus> | undefined,
    private readonly selfProbe: Pick<SelfProbe, 'middleware'>,
    /** `undefined` with another transport. */
    private readonly http: HttpTransport | undefined
  ) {
    const { address, listen, tls } = settings
    if (http === undefined || listen === undefined) return
    this.#listener = new Listener({ ...listen, address, tls }, (req, res, next) => {
      this.#serve(req, res, next)
    })
  }

  /** Whether peers use a private listener. */
  get private(): boolean {
    return this.#listener !== undefined
  }

  /** The address of the private listener, if there is one; `''` while it is not bound. */
  get address(): string | undefined {
    return this.#listener?.address
  }

  /** Whether the private listener uses the interface of the public port, which must be bound first. */
  get followsPublicPort(): boolean {
    return this.settings.listen?.beside === true
  }

  /**
   * The layer for Primus, to be placed before its `authorization`. With a private listener it passes everything on.
   * Primus counts the parameters of a layer, so it must have three.
   */
  get middleware(): Middleware {
    return this.private
      ? function metroplex(_req, _res, next): void {
          next()
        }
      : this.#answering
  }

  /** Let the private listener serve this layer, too. */
  serve(layer: Middleware): void {
    this.#layers.push(layer)
  }

  /**
   * Bind the private listener to this interface; `''` for the one that other machines can reach. Idempotent.
   * @throws MetroplexError as `Listener.open`
   */
  async listen(beside = ''): Promise<void> {
    await this.#listener?.open(beside)
  }

  /** Close the streams of peers on the public HTTP server, because its `close` waits for them. */
  release(): void {
    if (!this.private) this.http?.releaseStreams()
  }

  /** Close the private listener. */
  async close(): Promise<void> {
    await this.#listener?.close()
  }

  get #answering(): Middleware {
    const [identity, http] = [this.selfProbe.middleware, this.http?.middleware]
    return function metroplex(this: Primus, req, res, next): void {
      const ours: typeof next = error =>
        error === undefined && http !== undefined ? http.call(this, req, res, next) : next(error)
      if (req.headers.upgrade === undefined) identity.call(this, req, res, ours)
      else ours()
    }
  }

  /** Serve a request to the private listener with our layers only, without those of the application. */
  #serve(req: IncomingMessage, res: ServerResponse, next: () => void): void {
    const layers = [this.#answering, ...this.#layers]
    const turn = (at: number): void => {
      const layer = layers[at]
      if (layer === undefined) next()
      else if (req.headers.upgrade !== undefined && (layer as { upgrade?: boolean }).upgrade === false) turn(at + 1)
      else
        // Only a server has a private listener, and a server has a Primus.
        layer.call(this.primus as Primus, req, res, () => {
          turn(at + 1)
        })
    }
    turn(0)
  }
}
