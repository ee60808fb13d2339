import type { IncomingMessage } from 'node:http'
import { BodyBuffer } from './body-buffer'

/** Limits of one body. */
export interface BodyBounds {
  /** The largest body, in bytes. */
  readonly maxBody: number
  /** How long it may take to arrive, in ms. */
  readonly timeout: number
}

/** The result of reading a body: its bytes, or why there are none. `'closed'`: the connection has closed. */
export type BodyRead = Buffer | 'too large' | 'too slow' | 'closed' | 'unwanted'

/** Reads the body of a request within limits of size and time. */
export class Body {
  readonly #buffer: BodyBuffer
  readonly #timer: NodeJS.Timeout
  #ended = false

  /** @param done called once with the result */
  constructor(
    req: IncomingMessage,
    { maxBody, timeout }: BodyBounds,
    private readonly done: (read: BodyRead) => void
  ) {
    this.#buffer = new BodyBuffer(maxBody)
    this.#timer = setTimeout(() => {
      this.#end('too slow')
    }, timeout).unref()
    req.on('data', (chunk: Buffer) => {
      if (!this.#ended && !this.#buffer.add(chunk)) this.#end('too large')
    })
    req.once('end', () => {
      this.#end(this.#buffer.bytes)
    })
    req.once('close', () => {
      this.#end('closed')
    })
  }

  /** Stop reading, with the result `'unwanted'`. */
  stop(): void {
    this.#end('unwanted')
  }

  #end(read: BodyRead): void {
    if (this.#ended) return
    this.#ended = true
    clearTimeout(this.#timer)
    this.done(read)
  }
}
