import type { Answer, Back } from '../../common/transport-contract'
import { now } from '../../common/async'
import { asError, MetroplexError } from '../../common/errors'
import { DEFERRABLE_BATCH, HELLO, JSON_TYPE, Malformed, unpack, type ReceivedMessage, type Reply } from '../envelope'
import {
  digest,
  verifyHead,
  isNodeId,
  readHead,
  signHead,
  WIRE_VERSION,
  type Keyring,
  type SignedHead
} from '../signature'
import type { AdmittedHead, ReceivedAnswer, Reception } from './reception-contract'
import type { ReturnPaths } from './return-paths'
import { SenderSession, WINDOW } from './sender-session'

/** Applies messages of one kind. */
export interface MessageHandler {
  /** Decode a message that a parser packed. @throws MetroplexError `EMESSAGE` if it cannot be decoded */
  read?(message: ReceivedMessage): ReceivedMessage
  /** Validate a message, before any message of its batch is applied. @throws Malformed */
  check(message: ReceivedMessage): void
  /** Apply it, synchronously. */
  apply(message: ReceivedMessage): Reply
}

/** The identity of this process. */
export interface LocalNode {
  /** The node id of this process. */
  readonly nodeId: string
  readonly namespace: string
  /** The address of this server; `''` while it has none. */
  readonly address: string
  /** The address that another server holds, and this one waits for; `''` for none. Its requests may come here. */
  readonly awaitedAddress?: string
}

/** Limits of requests. */
export interface InboxBounds {
  /** The largest body, in bytes. */
  readonly maxBody: number
  /** How long a body may take to arrive, in ms. */
  readonly timeout: number
}

/** What an inbox reports. */
export interface InboxEvents {
  /** A batch was applied or was a repetition, or a request was refused. */
  counted(what: 'batch' | 'repeated' | 'refused'): void
  /** The connection to a peer broke. */
  broken(address: string): void
}

/** The session of a sender is dropped after this much silence, in ms. */
const SESSION_IDLE = 300_000
/** The most sessions. */
const MOST_SESSIONS = 10_000

/** A refusal of a request: HTTP status, code and reason. With `head` the answer can be signed. */
class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    reason: string,
    readonly head?: SignedHead
  ) {
    super(reason)
  }
}

/**
 * Answers the requests of other servers: verifies the sender and applies each batch once.
 *
 * A sender says hello first and is given a session, in which its batches are numbered. A batch with the last number, or
 * another one that is remembered, gets the same answer again without being applied again. One with a lower number is
 * refused. So a recorded batch cannot be replayed: not here, not in another session, and not at another server, because
 * node ids and sessions differ there.
 */
export class Inbox implements Reception {
  readonly #handlers = new Map<string, MessageHandler>()
  #aroundBatch = (work: () => string): string => work()
  /** By the node id of the sender, in the order of the last hello. */
  readonly #sessions = new Map<string, SenderSession>()
  /** When silent senders were last dropped, by `performance.now()`. */
  #lastPruned = now()
  #closed = false

  constructor(
    private readonly local: LocalNode,
    private readonly keyring: Keyring,
    private readonly bounds: InboxBounds,
    private readonly returnPaths: Pick<ReturnPaths, 'record' | 'closed' | 'forget'>,
    private readonly events: InboxEvents
  ) {}

  get maxBody(): number {
    return this.bounds.maxBody
  }

  get timeout(): number {
    return this.bounds.timeout
  }

  /** The kinds of messages that have a handler. */
  get kinds(): string[] {
    return [...this.#handlers.keys()]
  }

  /** Set the handler of a kind of messages. */
  handle(kind: string, handler: MessageHandler): void {
    this.#handlers.set(kind, handler)
  }

  /** A function that is called with the work of each batch of several messages, and must call it. */
  set aroundBatch(together: (work: () => string) => string) {
    this.#aroundBatch = together
  }

  /** Drop what is kept for a sender that has ended. */
  forget(from: string): void {
    this.#sessions.delete(from)
    this.returnPaths.forget(from)
  }

  /** Refuse all requests from now on. */
  close(): void {
    this.#closed = true
    this.#sessions.clear()
  }

  admit(line: string, type: string): AdmittedHead | Answer {
    try {
      return this.#verify(line, type)
    } catch (error) {
      return this.#refuse(error)
    }
  }

  receive(head: AdmittedHead, body: Buffer, back?: Back): ReceivedAnswer {
    try {
      if (this.#closed) throw closingRefusal(head)
      if (digest(body) !== head.digest) throw new Refusal(401, 'EAUTH', 'The body is not the one that was signed.')
      return head.number === 0 ? this.#answerHello(head) : this.#applyBatch(head, body, back)
    } catch (error) {
      return this.#refuse(error)
    }
  }

  closed(back: Back): void {
    this.returnPaths.closed(back)
  }

  broken(address: string): void {
    this.events.broken(address)
  }

  /** Verify a request without its body. @throws Refusal */
  #verify(line: string, type: string): AdmittedHead {
    const { nodeId, namespace, address, awaitedAddress: awaited } = this.local
    const { secrets } = this.keyring
    if (secrets.length === 0)
      throw new Refusal(503, 'ESECRET', 'This server does not know the secret of the cluster yet.')
    const head = readHead(line)
    if (head === undefined)
      throw new Refusal(400, 'EPROTOCOL', `The head must be: ${WIRE_VERSION} from to session number digest signature.`)
    if (!verifyHead(secrets, namespace, head, type))
      throw new Refusal(401, 'EAUTH', 'The signature is not one of this cluster.')
    if (this.#closed) throw closingRefusal(head)
    if (head.number === 0) {
      if (type !== HELLO) throw new Refusal(400, 'EPROTOCOL', `A hello has the content type ${HELLO}.`, head)
      // A server without an address yet accepts any address. On a return path the node id is used instead of an
      // address.
      const forUs =
        head.to === nodeId || (address === '' ? !isNodeId(head.to) && head.to !== awaited : head.to === address)
      if (!forUs) throw new Refusal(421, 'EUNREACHABLE', `This is ${address || nodeId}.`, head)
      return head
    }
    this.#sessionOf(head)
    return type === DEFERRABLE_BATCH ? { ...head, deferrable: true } : head
  }

  /** The session of a batch. @throws Refusal */
  #sessionOf(head: SignedHead): SenderSession {
    const { nodeId, awaitedAddress } = this.local
    const session = this.#sessions.get(head.from)
    if (head.to !== nodeId || session?.id !== head.session)
      throw new Refusal(409, 'ESESSION', 'No such session is known here: say hello first.', head)
    if (head.number < session.number && session.find(head.number) === undefined)
      throw new Refusal(409, 'EOLD', 'A later batch of this session was applied already.', head)
    // Its hello came before this server knew that another one has the address.
    if (session.to === awaitedAddress && head.number > session.number)
      throw new Refusal(409, 'ESESSION', `Another server has ${session.to}: say hello to it.`, head)
    return session
  }

  #answerHello(head: SignedHead): Answer {
    const session = this.#sessions.get(head.from) ?? new SenderSession(head.to)
    session.to = head.to
    session.lastUsed = now()
    this.#sessions.delete(head.from)
    this.#sessions.set(head.from, session)
    this.#prune()
    const { id, number: last } = session
    const body = JSON.stringify({ session: id, maxBody: this.bounds.maxBody, last, window: WINDOW })
    return this.#answer(head, 200, body, id)
  }

  #applyBatch(head: AdmittedHead, body: Buffer, back: Back | undefined): ReceivedAnswer {
    // The session may have been dropped while the body arrived, or a later batch may have been faster.
    const session = this.#sessionOf(head)
    session.lastUsed = now()
    const before = session.find(head.number)
    if (before !== undefined) {
      if (head.digest !== before.digest) throw new Refusal(409, 'EOLD', 'Another batch has had this number.', head)
      this.events.counted('repeated')
      return this.#answer(head, 200, before.answer)
    }
    const messages = this.#readMessages(body, head)
    const batch = session.begin(head.number, head.digest, head.deferrable === true)
    // Only here is the request known to be no replay, so only its connection becomes the return path.
    if (back !== undefined) this.returnPaths.record(head.from, back)
    let replies: readonly Reply[] = []
    const apply = (): string => {
      replies = messages.map(({ handler, message }) => applySafely(handler, message))
      return JSON.stringify(replies)
    }
    session.end(batch, messages.length > 1 ? this.#aroundBatch(apply) : apply())
    this.events.counted('batch')
    const answer = this.#answer(head, 200, batch.answer)
    // A reply that is no number has to be acted on at once: a spark was missing, for instance.
    const deferrable = head.deferrable === true && replies.every(reply => typeof reply === 'number')
    return deferrable ? { ...answer, deferrable } : answer
  }

  /** Read and validate all messages of a batch. */
  #readMessages(body: Buffer, head: SignedHead): { handler: MessageHandler; message: ReceivedMessage }[] {
    try {
      return unpack(body, head.from).map(message => {
        const handler = this.#handlers.get(message.kind)
        if (handler === undefined)
          throw new Malformed(`Messages of the kind ${JSON.stringify(message.kind)} have no handler here.`)
        const read = handler.read?.(message) ?? message
        handler.check(read)
        return { handler, message: read }
      })
    } catch (error) {
      const malformed = error instanceof Malformed || (error instanceof MetroplexError && error.code === 'EMESSAGE')
      throw malformed ? new Refusal(400, 'EPROTOCOL', error.message, head) : error
    }
  }

  #refuse(error: unknown): Answer {
    this.events.counted('refused')
    const { status, code, message, head } =
      error instanceof Refusal ? error : new Refusal(500, 'EPROTOCOL', asError(error).message)
    const body = JSON.stringify({ code, reason: message })
    if (head !== undefined) return this.#answer(head, status, body)
    return { status, head: '', type: JSON_TYPE, body: Buffer.from(body) }
  }

  /** Sign an answer. It includes the signature of the request, so it cannot be used as the answer to another one. */
  #answer(asked: SignedHead, status: number, text: string, session = asked.session): Answer {
    const [secret] = this.keyring.secrets
    const body = Buffer.from(text)
    if (secret === undefined) return { status, head: '', type: JSON_TYPE, body }
    const { nodeId, namespace } = this.local
    const head = { from: nodeId, to: asked.from, session, number: asked.number, digest: digest(body) }
    return {
      status,
      head: signHead(secret, namespace, head, JSON_TYPE, { status, request: asked.signature }),
      type: JSON_TYPE,
      body
    }
  }

  /** Drop the sessions of silent senders; if there are still too many, those with the oldest hellos. */
  #prune(): void {
    const sessions = this.#sessions
    const silent = now() - SESSION_IDLE
    if (sessions.size <= MOST_SESSIONS && this.#lastPruned > silent) return
    this.#lastPruned = now()
    for (const [from, { lastUsed: heard }] of sessions)
      if (sessions.size > MOST_SESSIONS || heard < silent) this.forget(from)
  }
}

function applySafely(handler: MessageHandler, message: ReceivedMessage): Reply {
  try {
    return handler.apply(message)
  } catch (error) {
    return { code: 'EREMOTE', message: asError(error).message }
  }
}

function closingRefusal(head: SignedHead): Refusal {
  return new Refusal(503, 'ECLOSED', 'This server is shutting down.', head)
}
