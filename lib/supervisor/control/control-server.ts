import { lstatSync, unlinkSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { ignore } from '../../common/callback'
import { asError, MetroplexError } from '../../common/errors'
import { checkLength, controlDirectory, makePrivate } from './control-path'
import { encodeAnswer, LONGEST_REQUEST, readRequest, type ControlRequest } from './control-protocol'

/** How long a client may take to send its request, and to read the answer, in ms. */
const CLIENT_TIME = 5000

/** How long to wait for a connection to another supervisor, in ms. The system accepts it, also while that is paused. */
const PROBE_TIME = 1000

/** The most clients at a time. Others are disconnected. */
const MOST_CLIENTS = 16

/** How many names are tried in the directory of the user. */
const MOST_NAMES = 100

/**
 * The Unix socket by which commands ask a supervisor. Its mode is 0600, and only this user can enter its directory. A
 * client sends one line and gets one; malformed ones get a sentence.
 */
export class ControlServer {
  readonly #clients = new Set<Socket>()
  #server: Server | undefined
  #path: string | undefined
  #closed = false

  /**
   * @param place the path of the socket; `true`: the first free name in the directory of the user
   * @param name the first part of that name
   * @param obey answers a request
   */
  constructor(
    private readonly place: string | true,
    private readonly name: string,
    private readonly obey: (request: ControlRequest) => Promise<unknown>
  ) {}

  /** Its path; `undefined` while it does not listen. */
  get path(): string | undefined {
    return this.#path
  }

  /** Listens. @throws MetroplexError `EWORKER` that says why it cannot */
  async open(): Promise<void> {
    this.#closed = false
    try {
      for (const path of this.#candidates()) {
        checkLength(path)
        makePrivate(path)
        if (await this.#listen(path)) return
      }
      const where = this.place === true ? `${this.name}.sock and ${MOST_NAMES - 1} more` : this.place
      throw new Error(`another supervisor listens at ${where}: give another \`control\``)
    } catch (error) {
      const why = asError(error)
        .message.replace(/^metroplex: /, '')
        .replace(/\.$/, '')
      throw new MetroplexError('EWORKER', `Commands cannot reach this supervisor: ${why}.`, { cause: error })
    }
  }

  /** Closes and removes the socket. Answers that are being written are still sent. */
  close(): void {
    this.#closed = true
    this.#path = undefined
    this.#server?.close()
    this.#server = undefined
    for (const client of this.#clients) client.destroySoon()
  }

  #candidates(): string[] {
    if (this.place !== true) return [this.place]
    const directory = controlDirectory()
    return Array.from({ length: MOST_NAMES }, (_, n) =>
      join(directory, `${this.name}${n === 0 ? '' : `.${n + 1}`}.sock`)
    )
  }

  /** @returns whether it listens now; `false`: another process does */
  async #listen(path: string): Promise<boolean> {
    // The socket of a supervisor that was killed is still there. Two attempts, because another one may find it as well.
    for (let attempt = 0; attempt < 2; attempt++) {
      const server = await bind(path)
      if (server !== undefined) {
        this.#use(server, path)
        return true
      }
      if (!(await removeStale(path))) return false
    }
    return false
  }

  #use(server: Server, path: string): void {
    if (this.#closed) {
      server.close()
      return
    }
    server.maxConnections = MOST_CLIENTS
    server.on('error', ignore) // `accept` may fail for want of descriptors: the client sees a closed connection.
    server.on('connection', client => {
      this.#serve(client)
    })
    server.unref()
    this.#server = server
    this.#path = path
  }

  #serve(client: Socket): void {
    let text = ''
    const limit = (): NodeJS.Timeout => setTimeout(() => client.destroy(), CLIENT_TIME).unref()
    let timer = limit()
    const answer = (line: string): void => {
      clearTimeout(timer)
      timer = limit()
      client.end(line)
    }
    const read = (chunk: string): void => {
      text += chunk
      const end = text.indexOf('\n')
      if (end === -1 && text.length <= LONGEST_REQUEST) return
      client.removeListener('data', read)
      // Without a reader the end of the connection would not be seen.
      client.resume()
      clearTimeout(timer)
      this.#answer(end === -1 ? undefined : text.slice(0, end)).then(answer, ignore)
    }
    this.#clients.add(client)
    client.setEncoding('utf8')
    client.on('data', read)
    client.on('error', ignore)
    client.on('close', () => {
      clearTimeout(timer)
      this.#clients.delete(client)
    })
  }

  /** @param line `undefined`: it was too long */
  async #answer(line: string | undefined): Promise<string> {
    try {
      if (line === undefined || line.length > LONGEST_REQUEST)
        throw new RangeError(`A request may have at most ${LONGEST_REQUEST} characters.`)
      return encodeAnswer({ value: await this.obey(readRequest(line)) })
    } catch (error) {
      return encodeAnswer({ error: asError(error).message.replace(/^metroplex: /, '') })
    }
  }
}

/** A server that listens at a path; `undefined` when there is a file already. @throws Error of the system */
function bind(path: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer({ allowHalfOpen: true })
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined)
      else reject(error)
    })
    server.once('listening', () => {
      resolve(server)
    })
    // `listen` makes the socket before it returns. Its mode is 0600 from its first moment.
    const mask = process.umask(0o177)
    try {
      server.listen(path)
    } finally {
      process.umask(mask)
    }
  })
}

/**
 * Removes the socket of a process that has ended.
 *
 * @returns `false` when a process listens there
 * @throws Error for a file that is no socket
 */
async function removeStale(path: string): Promise<boolean> {
  const before = lstatSync(path, { throwIfNoEntry: false })
  if (before === undefined) return true
  if (!before.isSocket()) throw new Error(`${path} is another file: give another \`control\``)
  if (await isLive(path)) return false
  const after = lstatSync(path, { throwIfNoEntry: false })
  // Another supervisor has replaced it meanwhile.
  if (after?.ino === before.ino && after.dev === before.dev) unlinkSync(path)
  return true
}

/** Whether a process listens at a socket, also if it is paused. */
function isLive(path: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(path)
    const done = (live: boolean): void => {
      socket.destroy()
      resolve(live)
    }
    socket.setTimeout(PROBE_TIME, () => {
      done(true)
    })
    socket.once('connect', () => {
      done(true)
    })
    socket.once('error', (error: NodeJS.ErrnoException) => {
      done(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT')
    })
  })
}
