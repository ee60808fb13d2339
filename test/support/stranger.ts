import { request as ask, type IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import { BATCH, HELLO } from '../../lib/transport/envelope'
import { frame, FrameReader } from '../../lib/transport/http/frames'
import { digest, readHead, signHead, type Head, type SignedHead } from '../../lib/transport/signature'
import { deadline } from './wait'

const patience = 10_000
const NOTHING = Buffer.alloc(0)
let words = 0

/** What a server answered; `status` 0: it closed the connection instead. */
export interface Told {
  readonly status: number
  readonly code: string
  readonly head: SignedHead | undefined
  readonly body: string
}

/** What is asked of a server: as it travels. */
export interface Question {
  readonly head: string
  readonly type: string
  readonly body: Buffer
}

/** What is needed to be taken for a server. */
export interface Papers {
  /** Where requests go. */
  readonly url: string
  /** The address under which the server is registered. */
  readonly address: string
  readonly secret: string
  readonly namespace: string
}

/** A session with a server. */
export interface Acquaintance {
  readonly session: string
  /** The word of the server's process. */
  readonly peer: string
}

/** Asks a server by hand what other servers ask it, rightly or not. */
export class Stranger {
  /** The word of this process, as it says. */
  readonly word = `stranger-${String(++words).padStart(8, '0')}`

  constructor(private readonly papers: Papers) {}

  /** The same one with other papers. */
  with(papers: Partial<Papers>): Stranger {
    return Object.assign(new Stranger({ ...this.papers, ...papers }), { word: this.word })
  }

  /** A signed request; every part of it may be another than it should be. */
  question(head: Partial<Head>, type: string, body: Buffer | string = NOTHING): Question {
    const bytes = Buffer.from(body)
    const { secret, namespace, address } = this.papers
    const whole = {
      from: this.word,
      to: address,
      session: `session-${String(++words).padStart(8, '0')}`,
      number: 0,
      digest: digest(bytes),
      ...head
    }
    return { head: signHead(secret, namespace, whole, type), type, body: bytes }
  }

  hello(head: Partial<Head> = {}): Question {
    return this.question(head, HELLO)
  }

  batch({ session, peer }: Acquaintance, number: number, body: Buffer | string, type = BATCH): Question {
    return this.question({ to: peer, session, number }, type, body)
  }

  /** Say hello, and be given a session. */
  async meet(): Promise<Acquaintance> {
    const { status, body, head } = await this.put(this.hello())
    if (status !== 200 || head === undefined) throw new Error(`a hello was answered with ${status}: ${body}`)
    return { session: (JSON.parse(body) as { session: string }).session, peer: head.from }
  }

  /** Ask by a single request. */
  put(
    { head, type, body }: Question,
    options: { method?: string; headers?: Record<string, string> } = {}
  ): Promise<Told> {
    const { method = 'PUT', headers = {} } = options
    return deadline(
      new Promise<Told>((resolve, reject) => {
        const asking = ask(
          this.#endpoint,
          {
            method,
            agent: false,
            headers: { metroplex: head, 'content-type': type, 'content-length': String(body.length), ...headers }
          },
          response => {
            heard(response).then(resolve, reject)
          }
        )
        // Who is refused may not get rid of the rest of his body any more.
        asking.on('error', error => {
          if ((error as NodeJS.ErrnoException).code === 'ECONNREFUSED') reject(error)
          else resolve(SILENT)
        })
        asking.end(body)
      }),
      patience,
      'an answer to a stranger'
    )
  }

  /** Send bytes as they are, and return all that comes back until the connection is closed. */
  async raw(bytes: Buffer | string, options: { within?: number } = {}): Promise<string> {
    const { socket, closed } = this.line()
    socket.write(bytes)
    return deadline(closed, options.within ?? patience, 'the end of a connection')
  }

  /** A bare connection; `closed` resolves with all that came when it has been closed. */
  line(): { socket: Socket; closed: Promise<string> } {
    const { hostname, port } = new URL(this.papers.url)
    const socket = connect(Number(port), hostname)
    let told = ''
    socket.on('error', () => undefined)
    socket.on('data', (chunk: Buffer) => {
      told += chunk.toString('latin1')
    })
    return {
      socket,
      closed: new Promise(resolve => {
        socket.once('close', () => {
          resolve(told)
        })
      })
    }
  }

  /** Open a stream by a hello. @returns what refused it, when it was not opened */
  async stream({ head, type }: Question = this.hello()): Promise<Stream | Told> {
    return deadline(
      new Promise<Stream | Told>((resolve, reject) => {
        const asking = ask(
          this.#endpoint,
          {
            agent: false,
            headers: { connection: 'Upgrade', upgrade: 'metroplex', metroplex: head, 'content-type': type }
          },
          response => {
            heard(response).then(resolve, reject)
          }
        )
        asking.on('upgrade', (_response, socket: Socket, rest: Buffer) => {
          const stream = new Stream(socket, rest)
          stream.next().then(welcome => {
            resolve(Object.assign(stream, { welcome }))
          }, reject)
        })
        asking.on('error', () => {
          resolve(SILENT)
        })
        asking.end()
      }),
      patience,
      'a stream'
    )
  }

  /** A request for a stream as it travels: for who wants to send what does not fit it. */
  upgrade({ head, type }: Question = this.hello()): string {
    const { host } = new URL(this.papers.url)
    return (
      `GET /primus/metroplex HTTP/1.1\r\nhost: ${host}\r\nconnection: Upgrade\r\nupgrade: metroplex\r\n` +
      `metroplex: ${head}\r\ncontent-type: ${type}\r\n\r\n`
    )
  }

  get #endpoint(): string {
    return `${this.papers.url}/primus/metroplex`
  }
}

/** A stream that a server has opened for a stranger. */
export class Stream {
  /** The answer to the hello. */
  welcome: Told = SILENT
  readonly #answers: Told[] = []
  readonly #waiting: ((told: Told) => void)[] = []
  /** When it was closed. */
  readonly closed: Promise<unknown>

  constructor(
    readonly socket: Socket,
    rest: Buffer
  ) {
    const reader = new FrameReader(100_000_000)
    let line: string | undefined
    const read = (chunk: Buffer): void => {
      reader.push(chunk)
      for (;;) {
        line ??= reader.line()
        const body = line === undefined ? undefined : reader.body()
        if (line === undefined || body === undefined) return
        const words = line.split(' ')
        line = undefined
        this.#hear(told(Number(words[0]), words.slice(1, -1).join(' '), body.toString()))
      }
    }
    this.closed = new Promise<void>(resolve => {
      socket.once('close', resolve)
    }).then(() => {
      this.#hear(SILENT)
    })
    socket.on('error', () => undefined)
    socket.on('data', read)
    if (rest.length > 0) read(rest)
  }

  /** Ask. */
  async ask({ head, type, body }: Question): Promise<Told> {
    this.socket.write(Buffer.concat(frame(`${head} ${type}`, body)))
    return this.next()
  }

  /** The next answer; status 0: it was closed. */
  next(): Promise<Told> {
    const there = this.#answers.shift()
    if (there !== undefined) return Promise.resolve(there)
    return deadline(
      new Promise<Told>(resolve => {
        this.#waiting.push(resolve)
      }),
      patience,
      'an answer on a stream'
    )
  }

  #hear(answer: Told): void {
    const waiting = this.#waiting.shift()
    if (waiting === undefined) this.#answers.push(answer)
    else waiting(answer)
  }
}

const SILENT: Told = { status: 0, code: '', head: undefined, body: '' }

async function heard(response: IncomingMessage): Promise<Told> {
  const chunks: Buffer[] = []
  try {
    for await (const chunk of response) chunks.push(chunk as Buffer)
  } catch {
    // What has come is what there is.
  }
  const { statusCode = 0, headers } = response
  return told(
    statusCode,
    typeof headers['metroplex'] === 'string' ? headers['metroplex'] : '',
    Buffer.concat(chunks).toString()
  )
}

function told(status: number, head: string, body: string): Told {
  let code: unknown
  try {
    code = (JSON.parse(body) as { code?: unknown } | null)?.code
  } catch {
    code = ''
  }
  return { status, code: typeof code === 'string' ? code : '', head: readHead(head), body }
}
