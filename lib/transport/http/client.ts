import { ignore } from '../../common/callback'
import type { Answer, Peer, Request } from '../../common/transport-contract'
import { now } from '../../common/async'
import { asError, destroyedError, MetroplexError, peerError } from '../../common/errors'
import type { Reception } from '../receiving/reception-contract'
import { WirePreference } from './wire-preference'
import { PutFallback } from './put-fallback'
import type { Stream } from './stream'
import { Upgrade, type Upgraded, type UpgradeTerms } from './upgrade'
import { releasedError, replacedError, speechlessError } from './protocol'
import { closingAnswer } from '../receiving/transport-refusals'

/**
 * How often an upgrade is tried when the connection closes instead of an answer: it may have broken, or a proxy may
 * refuse upgrades in this connection.
 */
const UPGRADE_TRIES = 3

/** The timeout of an upgrade while streams are not known to work, in ms. */
const TRIAL_TIMEOUT = 500

/** Options of the HTTP client. */
export interface ClientTerms extends UpgradeTerms {
  /** How long a refused upgrade is remembered, in ms. @default 60000 */
  readonly memory?: number | undefined
}

/** The connection to one peer: a stream, or single requests. */
interface PeerConnection {
  /** The upgrade in progress. */
  upgrade?: Upgrade | undefined
  stream?: Stream | undefined
  readonly putFallback: PutFallback
  readonly preference: WirePreference
  /** Whether a hello was answered, so that it is a metroplex server. */
  answered?: boolean
  /** Runs while single requests are in use. */
  timer?: NodeJS.Timeout | undefined
}

/**
 * Sends requests to peers: on one stream per peer, which an upgrade opens, or by single requests where streams do not
 * work.
 *
 * Streams do not work where a proxy refuses the upgrade, or breaks them before they have carried a request. That is
 * remembered for a minute at most. Then the connection counts as closed, so that `greet` tries the upgrade again.
 */
export class HttpClient {
  readonly #connections = new Map<string, PeerConnection>()
  #receiver: Reception
  #closed = false

  constructor(private readonly terms: ClientTerms) {
    const { maxBody, timeout } = terms
    this.#receiver = { maxBody, timeout, admit: closingAnswer, receive: closingAnswer, closed: ignore, broken: ignore }
  }

  /** Answer requests of peers on the streams that this client opens. Until then they get 503. */
  open(receiver: Reception): void {
    this.#receiver = receiver
  }

  /** Open the connection to a peer. An open one is replaced. */
  async greet(peer: Peer, hello: Request, deadline: number): Promise<Answer> {
    const { address } = peer
    this.#assertAllowed(address, deadline)
    const connection = this.#connectionTo(address)
    end(connection, replacedError(address))
    connection.stream = undefined
    const { preference } = connection
    let until = deadline
    let unusable: MetroplexError | undefined
    if (preference.singleFirst) {
      const { silent } = preference
      try {
        const answer = await this.#greetByPut(connection, peer, hello, deadline, false)
        // The peer answers now. If an upgrade gets an answer now, too, the peer was only paused before.
        return silent ? ((await this.#retryUpgrade(connection, peer, hello, deadline)) ?? answer) : answer
      } catch (error) {
        if (!refusedByProxy(error)) throw error
        if (silent) {
          // Nothing is left but an upgrade, and the last one got no answer: the next one is not waited for as long.
          unusable = error
          until = Math.min(deadline, now() + TRIAL_TIMEOUT)
        }
      }
      this.#assertCurrent(address, connection)
    }

    let upgraded: Upgraded
    try {
      upgraded = await this.#tryUpgrades(connection, peer, hello, until)
    } catch (error) {
      throw unusable !== undefined && isLate(error) ? unusable : error
    }
    if (upgraded !== 'closed' && 'answer' in upgraded) return upgraded.answer
    const refusal = upgraded !== 'closed' && 'refusal' in upgraded ? upgraded.refusal : undefined
    try {
      return await this.#greetByPut(connection, peer, hello, deadline, refusal !== undefined)
    } catch (error) {
      if (!(error instanceof MetroplexError) || error.code === 'ECLOSED') throw error
      if (upgraded === 'closed') throw isBroken(error) && connection.answered !== true ? speechlessError(error) : error
      const { code, message, maybe, status } = error
      // The answer to the PUT says more than a closed connection.
      if (refusal === undefined) throw status === undefined && 'garbled' in upgraded ? upgraded.garbled : error
      const sentence = `${message} An upgrade was answered with ${refusal}.`
      throw new MetroplexError(code, sentence, { address, maybe, status, cause: error })
    }
  }

  /** Send a request on the connection that `greet` opened. */
  async send(peer: Peer, request: Request, deadline: number): Promise<Answer> {
    const { address } = peer
    this.#assertAllowed(address, deadline)
    const connection = this.#connections.get(address)
    if (connection?.stream?.open === true) return this.#sendOnStream(connection, connection.stream, request, deadline)
    if (connection?.preference.single === true) return connection.putFallback.ask(peer, request, deadline)
    throw peerError('EUNREACHABLE', address, 'could not be reached: there is no connection to it')
  }

  /** Whether the connection to a peer is a stream, which takes several requests at a time. */
  pipelines(address: string): boolean {
    return this.#connections.get(address)?.stream?.open === true
  }

  /** Close the connection to a peer. What is in flight fails. */
  release(address: string): void {
    const connection = this.#connections.get(address)
    this.#connections.delete(address)
    if (connection !== undefined) end(connection, releasedError(address))
  }

  /** Close all connections. What is in flight fails with `ECLOSED`. */
  close(): void {
    this.#closed = true
    const connections = [...this.#connections]
    this.#connections.clear()
    for (const [address, connection] of connections) end(connection, destroyedError(address, true))
  }

  /** Try an upgrade, more than once when the connection closes instead of an answer. */
  async #tryUpgrades(connection: PeerConnection, peer: Peer, hello: Request, deadline: number): Promise<Upgraded> {
    const { address } = peer
    const { preference } = connection
    const { onTrial } = preference
    const until = onTrial ? Math.min(deadline, now() + TRIAL_TIMEOUT) : deadline
    let upgraded = 'closed' as Upgraded
    for (let tries = 0; upgraded === 'closed' && tries < UPGRADE_TRIES; tries++) {
      const upgrade = (connection.upgrade = this.#startUpgrade(peer, hello, until))
      try {
        upgraded = await upgrade.settled
      } catch (error) {
        if (!isLate(error) || error.maybe !== true) throw error
        preference.unanswered()
        if (until === deadline) throw error
        return 'closed'
      } finally {
        if (connection.upgrade === upgrade) connection.upgrade = undefined
        else upgrade.end(replacedError(address))
      }
      this.#assertCurrent(address, connection)
    }
    if (upgraded !== 'closed' && 'answer' in upgraded) {
      const { answer, stream } = upgraded
      connection.answered = true
      if (stream !== undefined) this.#useStream(address, connection, stream)
      else if (answer.status === 200) preference.broke()
    }
    return upgraded
  }

  /** Try an upgrade briefly, after a peer has answered a single request. */
  async #retryUpgrade(
    connection: PeerConnection,
    peer: Peer,
    hello: Request,
    deadline: number
  ): Promise<Answer | undefined> {
    const until = Math.min(deadline, now() + TRIAL_TIMEOUT)
    const upgraded = await this.#tryUpgrades(connection, peer, hello, until).catch((error: unknown) => {
      this.#assertCurrent(peer.address, connection)
      if (error instanceof MetroplexError) return 'closed' as const
      throw error
    })
    if (upgraded !== 'closed' && 'answer' in upgraded) return upgraded.answer
    connection.preference.answered(false)
    return undefined
  }

  /** Use an open stream. */
  #useStream(address: string, connection: PeerConnection, stream: Stream): void {
    connection.stream = stream
    stream.onEnd = broke => {
      if (!broke) return
      // A break during a request is counted by `#sendOnStream`.
      if (connection.stream === stream && !stream.used) connection.preference.broke()
      this.#receiver.broken(address)
    }
  }

  async #sendOnStream(connection: PeerConnection, stream: Stream, request: Request, deadline: number): Promise<Answer> {
    try {
      const answer = await stream.ask(request, deadline)
      connection.preference.carried()
      return answer
    } catch (error) {
      // A stream breaks once, for all requests that wait on it.
      if (connection.stream === stream && !stream.open) {
        connection.stream = undefined
        connection.preference.broke()
      }
      throw error
    }
  }

  /** Say hello by a single request, and record the result. @param refused whether an upgrade was refused before */
  async #greetByPut(
    connection: PeerConnection,
    peer: Peer,
    hello: Request,
    deadline: number,
    refused: boolean
  ): Promise<Answer> {
    const { address } = peer
    try {
      const answer = await connection.putFallback.ask(peer, hello, deadline)
      connection.answered = true
      connection.preference.answered(refused)
      this.#announceStream(address, connection)
      return answer
    } catch (error) {
      connection.preference.failed(refusedByProxy(error))
      throw error
    }
  }

  /** Report a broken connection when streams are tried again: single requests offer no return path until then. */
  #announceStream(address: string, connection: PeerConnection): void {
    clearTimeout(connection.timer)
    if (this.#connections.get(address) !== connection) return
    connection.timer = setTimeout(() => {
      // A timer counts whole milliseconds, so it may fire up to one early. What is sent then would be one more single
      // request, and nothing would report the end of them.
      if (connection.preference.single) this.#announceStream(address, connection)
      else this.#receiver.broken(address)
    }, Math.ceil(connection.preference.rest)).unref()
  }

  /** @throws MetroplexError when the connection was closed meanwhile, so that nothing more may be opened on it */
  #assertCurrent(address: string, connection: PeerConnection): void {
    if (this.#connections.get(address) !== connection)
      throw this.#isClosed() ? destroyedError(address, true) : releasedError(address)
  }

  /** A getter, because TypeScript assumes that the field does not change during an `await`. */
  #isClosed(): boolean {
    return this.#closed
  }

  /** @throws MetroplexError when the client is closed, or the deadline has passed */
  #assertAllowed(address: string, deadline: number): void {
    if (this.#closed) throw destroyedError(address)
    if (deadline <= now())
      throw new MetroplexError(
        'EDEADLINE',
        `The deadline of ${this.terms.timeout} ms passed before the request to ${address} was sent.`,
        { address, maybe: false }
      )
  }

  /** Start an upgrade. The registry may hold an invalid address. @throws MetroplexError */
  #startUpgrade(peer: Peer, hello: Request, deadline: number): Upgrade {
    try {
      return new Upgrade(peer, hello, deadline, this.terms, this.#receiver)
    } catch (error) {
      const { address } = peer
      const sentence = `cannot be reached: ${asError(error).message}`
      throw peerError('EUNREACHABLE', address, sentence, { maybe: false, cause: error })
    }
  }

  #connectionTo(address: string): PeerConnection {
    const known = this.#connections.get(address)
    if (known !== undefined) return known
    const connection: PeerConnection = {
      putFallback: new PutFallback(address, this.terms),
      preference: new WirePreference(this.terms.memory)
    }
    this.#connections.set(address, connection)
    return connection
  }
}

/** Whether a proxy refused a single request in place of the peer. */
function refusedByProxy(error: unknown): error is MetroplexError {
  return error instanceof MetroplexError && error.code === 'EPROTOCOL' && error.status !== undefined
}

/** Whether the connection closed instead of an answer. */
function isBroken({ code, status, maybe, cause }: MetroplexError): boolean {
  return code === 'EUNREACHABLE' && status === undefined && maybe === true && cause !== undefined
}

function isLate(error: unknown): error is MetroplexError {
  return error instanceof MetroplexError && error.code === 'EDEADLINE'
}

function end({ upgrade, stream, putFallback, timer }: PeerConnection, error: MetroplexError): void {
  clearTimeout(timer)
  upgrade?.end(error)
  stream?.end(error)
  putFallback.end(error)
}
