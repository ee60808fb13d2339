import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import { asError, MetroplexError, inspectValue } from './errors'
import { bytesOf, isBinary, Message, type Packer } from './encoded-message'

/** The encoder or decoder of a parser of Primus. It calls back with its result, at once or later. */
export type Encode = (this: unknown, data: unknown, fn: (error: unknown, result?: unknown) => void) => void

/** A parser, as Primus takes it. */
export interface Codec {
  readonly encoder: Encode
  readonly decoder: Encode
  /** Source text that encoder and decoder refer to. */
  readonly library?: unknown
}

/** What a parser is known by. */
interface Identity {
  /** The same on all servers that have this parser; `''`: messages are JSON. */
  readonly name: string
  /** Whether the parser carries binary. */
  readonly binary: boolean
  readonly codec?: Codec
}

/** Parsers that come with Primus, except JSON. */
const BUILT_IN = ['ejson', 'binary', 'msgpack']

/** Thrown when a parser uses the spark it runs for: a packet for another server has none. */
class Attached extends Error {}

const forbidden = (): never => {
  throw new Attached('This parser looks at its spark.')
}
const NO_SPARK = new Proxy({}, { get: forbidden, set: forbidden, has: forbidden })

/**
 * Encodes messages with the parser of clients and servers.
 *
 * With Primus's default a message is JSON text. With another parser it is the packet of that parser, made once by the
 * sending server, so that clients get what `spark.write` would bring. A server with the same parser hands the packet
 * to its sparks. Other servers get JSON and binary parts.
 *
 * An application's own parser that calls back later, or uses its spark, can make no packet for another server.
 * Messages are JSON and binary then, too.
 *
 * It is identified when it is first used, because a plugin that is loaded behind this one may replace it.
 */
export class Parser implements Packer {
  #known: Identity | undefined
  /** Whether the parser can make packets; `undefined`: an application's own parser has not been tried yet. */
  #packs: boolean | undefined

  private constructor(private readonly identify: () => Identity) {}

  /** The same on all servers that have this parser; `''`: messages are JSON. */
  get name(): string {
    return this.#identity.name
  }

  get #identity(): Identity {
    if (this.#known === undefined) {
      const { name } = (this.#known = this.identify())
      this.#packs = name === '' ? false : BUILT_IN.includes(name) || undefined
    }
    return this.#known
  }

  /**
   * The parser of a Primus.
   *
   * @param option the option `parser` of Primus
   * @param primus the Primus made from it. Without `encoder` and `decoder` messages are JSON, and binary unless the
   * parser is JSON
   */
  static of(option: unknown, primus: object = {}): Parser {
    return new Parser(() => identityOf(option, primus))
  }

  /**
   * The parser of a process without a Primus.
   *
   * @throws TypeError for a value that is no parser, and for a parser that is not installed
   */
  static load(option: unknown): Parser {
    const named = typeof option === 'string' ? option.toLowerCase() : undefined
    if (named !== undefined && BUILT_IN.includes(named)) {
      try {
        return Parser.of(named, createRequire(__filename)(`primus/parsers/${named}`) as Codec)
      } catch (error) {
        throw new TypeError(
          `metroplex: the parser '${named}' could not be loaded: ${asError(error).message.split('\n')[0] ?? ''}. ` +
            'Install primus and the package of the parser here, or pass the parser itself, { encoder, decoder }.',
          { cause: error }
        )
      }
    }
    const { encoder, decoder } = (option ?? {}) as Partial<Codec>
    const fits =
      option === undefined ||
      option === null ||
      named === 'json' ||
      (typeof encoder === 'function' && typeof decoder === 'function')
    if (!fits)
      throw new TypeError(
        `metroplex: \`parser\` must be 'json', '${BUILT_IN.join("', '")}', or an object { encoder, ` +
          `decoder }; given: ${inspectValue(option)}.`
      )
    return Parser.of(option, typeof encoder === 'function' ? { encoder, decoder, parser: option } : {})
  }

  /** Encodes a message of the application. @throws MetroplexError `EMESSAGE` for a value that cannot be sent */
  message(value: unknown): Message {
    const { binary } = this.#identity
    const packet = this.#packs === false ? undefined : this.#encoded(value)
    return packet === undefined ? Message.of(value, binary) : Message.packed(packet, this)
  }

  /**
   * Decodes a message of a peer that is a packet of this parser. @throws MetroplexError `EMESSAGE` for an invalid
   * packet
   */
  received({ value: packet }: Message): Message {
    if (Buffer.isBuffer(packet) || (typeof packet === 'string' && packet !== '')) return Message.packed(packet, this)
    throw new MetroplexError('EMESSAGE', 'A packet must be a string that is not empty, or binary as a whole.')
  }

  read(packet: string | Buffer): unknown {
    const { error, result } = this.#run(this.#identity.codec?.decoder, packet) ?? {
      error: new Error('It calls back later.')
    }
    if (error)
      throw new MetroplexError('EMESSAGE', `The parser cannot decode a message: ${asError(error).message}`, {
        cause: error
      })
    return result
  }

  /** Encodes a value; `undefined`: the parser can make no packet for another server. */
  #encoded(value: unknown): string | Buffer | undefined {
    const outcome = this.#run(this.#identity.codec?.encoder, value)
    if (outcome?.error instanceof Attached) this.#packs = false
    if (outcome === undefined || this.#packs === false) return undefined
    const { error, result } = outcome
    if (error)
      throw new MetroplexError(
        'EMESSAGE',
        `The parser cannot encode this message: ${asError(error).message}; given: ${inspectValue(value)}.`,
        { cause: error }
      )
    if (result === undefined || result === null || result === '') {
      throw new MetroplexError('EMESSAGE', `The parser makes nothing of this message; given: ${inspectValue(value)}.`)
    }
    if (typeof result !== 'string' && !isBinary(result)) return undefined
    // An application's own parser may return the object it was given, which may change later.
    const packet =
      typeof result === 'string' || (Buffer.isBuffer(result) && BUILT_IN.includes(this.name)) ? result : bytesOf(result)
    this.#packs ??= this.#decodes(packet)
    return this.#packs ? packet : undefined
  }

  #decodes(packet: string | Buffer): boolean {
    const outcome = this.#run(this.#identity.codec?.decoder, packet)
    return outcome !== undefined && !outcome.error
  }

  /** @returns the outcome; `undefined`: the parser calls back later */
  #run(half: Encode | undefined, data: unknown): { error: unknown; result?: unknown } | undefined {
    let outcome: { error: unknown; result?: unknown } | undefined
    try {
      half?.call(NO_SPARK, data, (error, result) => {
        outcome ??= { error, result }
      })
    } catch (error) {
      outcome ??= { error }
    }
    return outcome
  }
}

/** What the parser of a Primus is known by. Plugins may have replaced its encoder or decoder. */
function identityOf(option: unknown, primus: object): Identity {
  const named = typeof option === 'string' ? option.toLowerCase() : undefined
  const { encoder, decoder, parser } = primus as Partial<Codec> & { readonly parser?: Codec }
  const replaced = parser !== undefined && (parser.encoder !== encoder || parser.decoder !== decoder)
  if (!replaced && (option === undefined || option === null || named === '' || named === 'json'))
    return { name: '', binary: false }
  if (typeof encoder !== 'function' || typeof decoder !== 'function') return { name: '', binary: true }
  const codec = { encoder, decoder, library: parser?.library }
  const builtIn = !replaced && named !== undefined && BUILT_IN.includes(named)
  return { name: builtIn ? named : fingerprint(codec), binary: true, codec }
}

/** A name from the source text of the parser. Primus sends this text to clients, so it is complete. */
function fingerprint({ encoder, decoder, library }: Codec): string {
  const text = JSON.stringify([encoder, decoder, library ?? ''].map(String))
  return `custom-${createHash('sha256').update(text).digest('base64url').slice(0, 16)}`
}
