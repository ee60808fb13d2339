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

/** What a worker reports: it reads messages; it is ready; it ends by itself; its work is finished; operational data. */
export type Report = { readonly is: (typeof REPORTS)[number] } | { readonly is: 'ops'; readonly message: unknown }

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
  return content?.is === 'ops' || REPORTS.some(known => known === content?.is) ? (content as Report) : undefined
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

function unwrap(message: unknown): { readonly is?: unknown; readonly grace?: unknown } | undefined {
  if (typeof message !== 'object' || message === null || !Object.hasOwn(message, KEY)) return undefined
  const content = (message as Record<string, unknown>)[KEY]
  return typeof content === 'object' && content !== null ? content : undefined
}
