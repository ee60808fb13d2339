import { ignore } from '../../common/callback'

/** The key of all messages between a worker and its supervisor. Other messages are the application's. */
const KEY = 'metroplex:worker'

/** The environment variable with what a worker has to know from its start. */
export const ENVIRONMENT = 'METROPLEX_WORKER'

/** The value of that variable, as JSON. */
export interface Badge {
  readonly name: string
  readonly type: string
  /** How long the worker may take to end when its supervisor has died, in ms. */
  readonly grace: number
  /**
   * The process id of the supervisor. Children of a worker inherit the environment, and are recognised by it as
   * unsupervised.
   */
  readonly primary: number
}

/** The keys of messages to `node --watch`. */
const WATCHED: readonly string[] = ['watch:require', 'watch:import']

const REPORTS = ['here', 'ready', 'leaving', 'done'] as const

/**
 * What a worker reports: it reads messages; it is ready; it ends by itself; its work is finished; operational data; the
 * answer to a question.
 */
export type Report =
  { readonly is: (typeof REPORTS)[number] } | { readonly is: 'ops'; readonly message: unknown } | WorkerAnswer

/** A question of a supervisor to a worker. */
export interface WorkerQuestion {
  readonly is: 'ask'
  /** A number that no other question to this worker has. */
  readonly id: number
  readonly what: string
}

/** The answer of a worker to a question. */
export interface WorkerAnswer {
  readonly is: 'answer'
  /** The number of the question. */
  readonly id: number
  /** A JSON value. */
  readonly value?: unknown
  /** Why the worker could not answer, in a sentence without the full stop. */
  readonly error?: string
}

/**
 * Node.js emits messages whose `cmd` begins with `NODE_` as 'internalMessage' and not as 'message'. So questions, which
 * come all the time, never reach the listeners of the application. node:cluster depends on it in the same way.
 */
const INTERNAL = 'NODE_METROPLEX'

/** What a supervisor orders. */
export interface Order {
  readonly is: 'drain'
  /** How long the worker may take, in ms. */
  readonly grace: number
}

/** Puts a message under our key. */
export function wrap(message: Report | Order): object {
  return { [KEY]: message }
}

/** The report in a message of a worker; `undefined` for a message of the application. */
export function reportOf(message: unknown): Report | undefined {
  const content = unwrap(message)
  if (content?.is === 'answer') return typeof content.id === 'number' ? (content as Report) : undefined
  return content?.is === 'ops' || REPORTS.some(known => known === content?.is) ? (content as Report) : undefined
}

/** Puts a question into a message that only we receive. */
export function wrapQuestion(question: WorkerQuestion): object {
  return { cmd: INTERNAL, [KEY]: question }
}

/** From now on calls a function with each question of the supervisor. */
export function listenForQuestions(handle: (question: WorkerQuestion) => void): void {
  ;(process as NodeJS.EventEmitter).on('internalMessage', (message: unknown) => {
    const content = unwrap(message)
    if (content?.is === 'ask' && typeof content.id === 'number' && typeof content.what === 'string')
      handle(content as WorkerQuestion)
  })
}

/** The order in a message of the supervisor; `undefined` for a message of the application. */
export function orderOf(message: unknown): Order | undefined {
  const content = unwrap(message)
  return content?.is === 'drain' && typeof content.grace === 'number' ? (content as Order) : undefined
}

/**
 * Whether a message is one that Node.js sends to the parent for `node --watch`: the files that a process has loaded.
 * It is no message of the application.
 */
export function isWatched(message: unknown): boolean {
  if (process.env['WATCH_REPORT_DEPENDENCIES'] === undefined || typeof message !== 'object' || message === null)
    return false
  const keys = Object.keys(message)
  return keys.length > 0 && keys.every(key => WATCHED.includes(key))
}

/** Sends a message to the parent of this process, if there is a channel. The parent may be `node --watch`. */
export function sendToParent(message: unknown): void {
  if (process.connected) process.send?.(message, undefined, undefined, ignore)
}

function unwrap(message: unknown): Readonly<Partial<Record<'is' | 'grace' | 'id' | 'what', unknown>>> | undefined {
  if (typeof message !== 'object' || message === null || !Object.hasOwn(message, KEY)) return undefined
  const content = (message as Record<string, unknown>)[KEY]
  return typeof content === 'object' && content !== null ? content : undefined
}
