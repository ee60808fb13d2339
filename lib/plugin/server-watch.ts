import { ignore } from '../common/callback'

/** The part of an HTTP server that is needed to follow its life. */
export interface WatchedServer {
  readonly listening?: boolean
  on(event: string, listener: () => void): unknown
  removeListener(event: string, listener: () => void): unknown
  close?: (...args: unknown[]) => unknown
}

/** What happens to the server. */
export interface ServerWatchEvents {
  /** The server listens, for the first time or again. */
  listening(): void
  /** `close` was called: the server accepts no more connections. Open connections may stay for long. */
  closed(): void
}

/**
 * Follows an HTTP server: when it listens, and when it no longer does.
 *
 * Node.js emits 'close' only when the last connection has ended, and a peer's stream may be that connection. So
 * `close` is wrapped on this server. A call that bypasses the wrapper is noticed by `look`: an application may have
 * kept the method from before, or call that of the prototype.
 */
export class ServerWatch {
  #stopped = false
  /** Whether the server listens, as last reported. */
  #listens: boolean
  readonly #listening: () => void
  readonly #closed: () => void
  readonly #unwrap: () => void

  constructor(
    private readonly server: WatchedServer,
    events: ServerWatchEvents
  ) {
    this.#listening = () => {
      if (this.#stopped) return
      this.#listens = true
      events.listening()
    }
    this.#closed = () => {
      if (this.#stopped || server.listening === true) return
      this.#listens = false
      events.closed()
    }
    this.#listens = server.listening === true
    server.on('listening', this.#listening)
    server.on('close', this.#closed)
    this.#unwrap = this.#wrap()
  }

  /** Notices a server that has been closed by another way than its own method. Called with each beat. */
  look(): void {
    if (this.#listens) this.#closed()
  }

  /** Stops watching, and restores `close`. Can be called twice. */
  stop(): void {
    if (this.#stopped) return
    this.#stopped = true
    this.server.removeListener('listening', this.#listening)
    this.server.removeListener('close', this.#closed)
    this.#unwrap()
  }

  /** @returns a function that restores `close` */
  #wrap(): () => void {
    const { server } = this
    const former = Object.getOwnPropertyDescriptor(server, 'close')
    const { close: original } = server
    if (original === undefined) return ignore
    const closed = this.#closed
    const close = function close(this: WatchedServer, ...args: unknown[]): unknown {
      // In a later turn: `destroy` of Primus calls `close` and leaves the registry itself, and an application may
      // listen again at once.
      if (server.listening === true) setImmediate(closed)
      return original.apply(this, args)
    }
    Object.defineProperty(server, 'close', { value: close, configurable: true, writable: true })
    return () => {
      // Another plugin may have wrapped it since; then its wrapper stays.
      if (server.close !== close) return
      if (former !== undefined) Object.defineProperty(server, 'close', former)
      else delete server.close
    }
  }
}
