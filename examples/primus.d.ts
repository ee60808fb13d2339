/** The part of Primus that the examples use; it ships no types. */

declare module 'primus' {
  import type { Server } from 'node:http'
  import type metroplex from 'metroplex'

  class Primus {
    constructor(server: Server, options: metroplex.MetroplexOptions & Primus.Options)
    /** Makes a client class for servers with this transformer. */
    static createSocket(options: { transformer: string }): Primus.SocketConstructor
    readonly metroplex: metroplex.Metroplex
    readonly forward: metroplex.Forward
    plugin(name: string, plugin: object): this
    on(event: 'connection' | 'disconnection', listener: (spark: Primus.Spark) => void): this
    forEach(fn: (spark: Primus.Spark) => void): this
    write(data: unknown): boolean
    destroy(options: { reconnect?: boolean }, fn: (error?: Error) => void): this
  }

  namespace Primus {
    interface Options {
      transformer?: string
      /** Whether to hide Primus's warning about workers of node:cluster. */
      iknowclusterwillbreakconnections?: boolean
    }

    interface Spark {
      readonly id: string
      /** The query of the URL. */
      readonly query: Readonly<Record<string, unknown>>
      on(event: 'data', listener: (data: unknown) => void): this
      write(data: unknown): boolean
      end(data?: unknown, options?: { reconnect?: boolean }): void
    }

    interface Socket {
      id(fn: (id: string) => void): this
      on(event: string, listener: (...args: unknown[]) => void): this
      removeListener(event: string, listener: (...args: unknown[]) => void): this
      write(data: unknown): boolean
      end(): this
    }

    type SocketConstructor = new (url: string, options: { strategy: false } | { reconnect: Reconnect }) => Socket

    /** How a client reconnects; the times are in ms. */
    interface Reconnect {
      min: number
      max: number
      retries: number
    }
  }

  export = Primus
}
