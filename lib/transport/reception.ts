import { randomBytes } from 'node:crypto'
import type { Answer, Back, Receiver, Request } from '../contract'
import { now } from '../deadline'
import { asError } from '../errors'
import { HELLO, JSON_TYPE, Malformed, unpack, type Incoming } from './envelope'
import type { Keyring } from './keyring'
import { digest, genuine, isWord, read, signed, VERSION, type SignedHead } from './signature'
import type { Ways } from './ways'

/** What a server did with one message: sparks it was handed to, with those that are not there; or why it did nothing. */
export type Reply = number | readonly [send: number, missing: readonly string[]] | { readonly code: string; readonly message: string }

/** How messages of one kind are carried out. */
export interface Handler {
  /** Look whether a message can be carried out, before anything of its batch is. @throws Malformed */
  check(message: Incoming): void
  /** Carry it out, at once. */
  apply(message: Incoming): Reply
}

/** Who we are to those who ask. */
export interface Place {
  /** Random word of this process. */
  readonly word: string
  readonly namespace: string
  /** Our address; `''` while we have none. */
  readonly address: string
}

/** Bounds of what is taken. */
export interface Bounds {
  /** In bytes. */
  readonly maxBody: number
  /** How long a body may take to come, in ms. */
  readonly timeout: number
}

/** What happens there. */
export interface ReceptionEvents {
  /** A batch was carried out; was one that had come before; or something was refused. */
  told(what: 'batch' | 'repeated' | 'refused'): void
  /** The way to a peer has broken. */
  broken(address: string): void
}

/** What is remembered of a sender. */
interface Session {
  readonly word: string
  readonly from: string
  /** Number and digest of the last batch that was carried out, and its answer: it may be asked for again. */
  number: number
  digest: string
  answer: string
  /** When it was heard last, by `performance.now()`. */
  heard: number
}

/** A sender of which nothing has been heard for this long is forgotten, in ms. */
const SILENCE = 300_000
/** The most senders that are remembered. */
const MOST = 10_000
/** The most heads that are known to be genuine while their bodies are still coming. */
const COMING = 1000

/** Why a request is answered with no. */
class Refusal extends Error {
  constructor(readonly status: number, readonly code: string, reason: string, readonly head?: SignedHead) {
    super(reason)
  }
}

/**
 * Answers what other servers ask: looks who asks, and carries each batch out once.
 *
 * A sender is greeted first, and gets a session. Its batches are numbered. One with the last number is answered as it was then and not
 * carried out again; one with a lower number is refused. So nothing that was recorded on the way can be played back: not here, not in
 * another session, and not at another server, whose word and sessions are others.
 */
export class Reception implements Receiver {
  readonly #handlers = new Map<string, Handler>()
  #together = (work: () => string): string => work()
  /** By the sender's word; the one that was greeted longest ago comes first. */
  readonly #sessions = new Map<string, Session>()
  /** Heads that have been found genuine, and whose bodies are still to come. */
  readonly #coming = new Map<string, SignedHead>()
  /** When it was looked who has been silent, by `performance.now()`. */
  #tidied = now()
  #closed = false

  constructor(
    private readonly place: Place,
    private readonly keyring: Keyring,
    private readonly bounds: Bounds,
    private readonly ways: Pick<Ways, 'note' | 'closed' | 'forget'>,
    private readonly events: ReceptionEvents
  ) {}

  get maxBody(): number {
    return this.bounds.maxBody
  }

  get timeout(): number {
    return this.bounds.timeout
  }

  /** The kinds of messages that are taken. */
  get kinds(): string[] {
    return [...this.#handlers.keys()]
  }

  /** Take messages of a kind. */
  handle(kind: string, handler: Handler): void {
    this.#handlers.set(kind, handler)
  }

  /** What is to happen around the messages of a batch, when there are several. */
  set together(together: (work: () => string) => string) {
    this.#together = together
  }

  /** A sender has gone for good. */
  forget(from: string): void {
    this.#sessions.delete(from)
    this.ways.forget(from)
  }

  /** From now on everything is refused. */
  close(): void {
    this.#closed = true
    this.#sessions.clear()
    this.#coming.clear()
  }

  admit(line: string, type: string): Answer | undefined {
    try {
      const head = this.#judge(line, type)
      if (this.#coming.size >= COMING) this.#coming.clear()
      this.#coming.set(line, head)
      return undefined
    } catch (error) {
      return this.#refused(error)
    }
  }

  receive({ head: line, type, body }: Request, back?: Back): Answer {
    try {
      const head = this.#coming.get(line) ?? this.#judge(line, type)
      this.#coming.delete(line)
      if (this.#closed) throw closing(head)
      if (digest(body) !== head.digest) throw new Refusal(401, 'EAUTH', 'The body is not the one that was signed.')
      return head.number === 0 ? this.#welcome(head) : this.#carryOut(head, body, back)
    } catch (error) {
      return this.#refused(error)
    }
  }

  closed(back: Back): void {
    this.ways.closed(back)
  }

  broken(address: string): void {
    this.events.broken(address)
  }

  /** Who asks, as far as that can be told without the body. @throws Refusal */
  #judge(line: string, type: string): SignedHead {
    const { word, namespace, address } = this.place
    const { secrets } = this.keyring
    if (secrets.length === 0) throw new Refusal(503, 'ESECRET', 'This server does not know the secret of the cluster yet.')
    const head = read(line)
    if (head === undefined) throw new Refusal(400, 'EPROTOCOL', `The head must be: ${VERSION} from to session number digest signature.`)
    if (!genuine(secrets, namespace, head, type)) throw new Refusal(401, 'EAUTH', 'The signature is not one of this cluster.')
    if (this.#closed) throw closing(head)
    if (head.number === 0) {
      if (type !== HELLO) throw new Refusal(400, 'EPROTOCOL', `A hello has the content type ${HELLO}.`, head)
      // Who has no address yet is reached at any; on its own connection it is called by its word.
      const ours = head.to === word || (address === '' ? !isWord(head.to) : head.to === address)
      if (!ours) throw new Refusal(421, 'EUNREACHABLE', `This is ${address || word}.`, head)
      return head
    }
    const session = this.#sessions.get(head.from)
    if (head.to !== word || session?.word !== head.session) throw new Refusal(409, 'ESESSION', 'No such session is known here: say hello first.', head)
    if (head.number < session.number) throw new Refusal(409, 'EOLD', 'A later batch of this session has been carried out already.', head)
    return head
  }

  #welcome(head: SignedHead): Answer {
    const session = this.#sessions.get(head.from) ?? { word: wordOf(), from: head.from, number: 0, digest: '', answer: '', heard: 0 }
    session.heard = now()
    this.#sessions.delete(head.from)
    this.#sessions.set(head.from, session)
    this.#tidy()
    const body = JSON.stringify({ session: session.word, maxBody: this.bounds.maxBody, last: session.number })
    return this.#answer(head, 200, body, session.word)
  }

  #carryOut(head: SignedHead, body: Buffer, back: Back | undefined): Answer {
    const session = this.#sessions.get(head.from)
    // It may have been forgotten while the body came, or a later one may have been quicker.
    if (session?.word !== head.session) throw new Refusal(409, 'ESESSION', 'No such session is known here: say hello first.', head)
    if (head.number < session.number) throw new Refusal(409, 'EOLD', 'A later batch of this session has been carried out already.', head)
    session.heard = now()
    if (head.number === session.number) {
      if (head.digest !== session.digest) throw new Refusal(409, 'EOLD', 'Another batch has had this number.', head)
      this.events.told('repeated')
      return this.#answer(head, 200, session.answer)
    }
    const messages = this.#understood(body, head)
    session.number = head.number
    session.digest = head.digest
    session.answer = ''
    // Whoever plays back what was recorded has nothing new to say, and is told nothing.
    if (back !== undefined) this.ways.note(head.from, back)
    const apply = (): string => JSON.stringify(messages.map(({ handler, message }) => applied(handler, message)))
    session.answer = messages.length > 1 ? this.#together(apply) : apply()
    this.events.told('batch')
    return this.#answer(head, 200, session.answer)
  }

  /** The messages of a batch, once all of them are known to be ones that can be carried out. */
  #understood(body: Buffer, head: SignedHead): { handler: Handler, message: Incoming }[] {
    try {
      return unpack(body, head.from).map(message => {
        const handler = this.#handlers.get(message.kind)
        if (handler === undefined) throw new Malformed(`Messages of the kind ${JSON.stringify(message.kind)} are not known here.`)
        handler.check(message)
        return { handler, message }
      })
    } catch (error) {
      throw error instanceof Malformed ? new Refusal(400, 'EPROTOCOL', error.message, head) : error
    }
  }

  #refused(error: unknown): Answer {
    this.events.told('refused')
    const { status, code, message, head } = error instanceof Refusal ? error : new Refusal(500, 'EPROTOCOL', asError(error).message)
    const body = JSON.stringify({ code, reason: message })
    if (head !== undefined) return this.#answer(head, status, body)
    return { status, head: '', type: JSON_TYPE, body: Buffer.from(body) }
  }

  /** An answer that can be nobody else's, to nothing else. */
  #answer(asked: SignedHead, status: number, text: string, session = asked.session): Answer {
    const [secret] = this.keyring.secrets
    const body = Buffer.from(text)
    if (secret === undefined) return { status, head: '', type: JSON_TYPE, body }
    const { word, namespace } = this.place
    const head = { from: word, to: asked.from, session, number: asked.number, digest: digest(body) }
    return { status, head: signed(secret, namespace, head, JSON_TYPE, { status, request: asked.signature }), type: JSON_TYPE, body }
  }

  /** Forget who has been silent for long, and, of too many, who was greeted first. */
  #tidy(): void {
    const sessions = this.#sessions
    const silent = now() - SILENCE
    if (sessions.size <= MOST && this.#tidied > silent) return
    this.#tidied = now()
    for (const [from, { heard }] of sessions) if (sessions.size > MOST || heard < silent) this.forget(from)
  }
}

/** A random word, such as processes and sessions have. */
export function wordOf(): string {
  return randomBytes(12).toString('base64url')
}

function applied(handler: Handler, message: Incoming): Reply {
  try {
    return handler.apply(message)
  } catch (error) {
    return { code: 'EREMOTE', message: asError(error).message }
  }
}

function closing(head: SignedHead): Refusal {
  return new Refusal(503, 'ECLOSED', 'This server is shutting down.', head)
}
