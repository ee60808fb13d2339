import { now } from '../common/async'
import { isReply, kindOf, MetroplexError } from '../common/errors'

/** A refusal of Redis that lasts until an operator or the application changes something. */
export interface RedisRefusal {
  /** The same for all refusals with the same cause, independent of their wording. */
  readonly kind: 'credentials' | 'rights' | 'database' | 'slots' | 'mode' | 'command' | 'clients' | 'protected'
  /** What to change, in a sentence or two. */
  readonly advice: string
}

/** `sentinel`: the message comes from a Sentinel. */
type Advice = (cluster: boolean, sentinel: boolean) => string

const CREDENTIALS: Advice = (cluster, sentinel) => {
  const [username, password] = sentinel ? ['sentinelUsername', 'sentinelPassword'] : ['username', 'password']
  return (
    `Each attempt uses the current \`${username}\` and \`${password}\` of ` +
    `\`redis.options${cluster ? '.redisOptions' : ''}\`: set the new ones there.`
  )
}

const TAG = "give `namespace` a hash tag, '{metroplex}' for instance"

const DATABASE: Advice = cluster =>
  cluster
    ? 'A Redis Cluster has database 0 only: leave `db` out of `redisOptions`.'
    : 'No other database is used instead: give the client a `db` that this Redis has and that its user may select.'

/** The first match counts. */
const REFUSALS: readonly (readonly [RegExp, RedisRefusal['kind'], Advice])[] = [
  [/\brefused SELECT\b/, 'database', DATABASE],
  [/\b(WRONGPASS|NOAUTH)\b|\binvalid password\b/, 'credentials', CREDENTIALS],
  [
    /\bmax number of clients\b/,
    'clients',
    () => 'Raise `maxclients` of Redis, or close connections that are not needed.'
  ],
  [
    // Its words name four remedies, one of which opens Redis to all networks.
    /\bDENIED\b.* protected mode/,
    'protected',
    cluster =>
      'Set a password in Redis (`requirepass`), and give it to the client as ' +
      `\`${cluster ? 'redisOptions.' : ''}password\`. ` +
      'Where only trusted machines reach Redis, `protected-mode no` is enough.'
  ],
  // Redis 7.0 says the latter of a command in a script.
  [/\bNOPERM\b|\buser executing the script\b/, 'rights', () => 'docs/keys.md lists the rights that a server needs.'],
  [
    /\bCROSSSLOT\b|hash to the same slot|non local key/,
    'slots',
    () =>
      `This Redis is in cluster mode, where all keys of a registry must lie in one slot: ${TAG}. ` +
      'Where there are several masters, hand over `new Redis.Cluster(nodes)` as well.'
  ],
  [
    /(^|-)(MOVED|CLUSTERDOWN)\b/,
    'mode',
    () =>
      'This Redis is a node of a Redis Cluster, and not the one that has our keys: ' +
      `hand over \`new Redis.Cluster(nodes)\` instead of \`new Redis()\`, and ${TAG}. ` +
      'With `metroplex.shards` above 1 it needs none, and must have none.'
  ],
  [
    /cluster support disabled/,
    'mode',
    () => 'This Redis is not part of a Redis Cluster: hand over `new Redis()` instead of `new Redis.Cluster()`.'
  ],
  [
    /\bunknown command\b/i,
    'command',
    () =>
      'docs/keys.md lists the commands that a server needs. A Sentinel has none of them: ' +
      'hand over `new Redis({ sentinels, name })` for it.'
  ]
]

/**
 * Classify an error that lasts, with advice; `undefined` for any other.
 *
 * @param cluster whether the client is for a Redis Cluster, which handles MOVED by itself
 */
export function refusalOf(error: Error | undefined, cluster: boolean): RedisRefusal | undefined {
  const message = error?.message ?? ''
  const found = REFUSALS.find(([words]) => words.test(message))
  if (found === undefined || (cluster && /(^|-)(MOVED|CLUSTERDOWN)\b/.test(message))) return undefined
  const [, kind, advice] = found
  return { kind, advice: advice(cluster, /\bsentinels?\b/.test(message)) }
}

/** Add advice to an error message, if the error lasts. */
export function explainRefusal(sentence: string, error: Error | undefined, cluster: boolean): string {
  const advice = refusalOf(error, cluster)?.advice
  return advice === undefined ? sentence : `${sentence.replace(/\.$/, '')}. ${advice}`
}

/** Redis answers, but may not be used. The message is a sentence about Redis. */
export class RedisUnusable extends Error {
  override readonly name = 'RedisUnusable'
}

/** Whether Redis itself said why a connection is of no use. Otherwise the connection broke, or was never there. */
export function isAnswer(cause: Error | undefined): boolean {
  return isReply(cause) || cause instanceof RedisUnusable
}

/** Say why a connection is of no use. @param purpose what it is for, as ` for messages`; `''` for the registry */
export function describeLoss(purpose: string, cause: Error | undefined): string {
  if (cause === undefined) return `The connection to Redis${purpose} is down.`
  const because = wordsOf(cause).replace(/\.$/, '')
  if (cause instanceof RedisUnusable) return `The connection to Redis${purpose} cannot be used: ${because}.`
  const what = isReply(cause) ? `Redis refused a command${purpose}` : `The connection to Redis${purpose} is down`
  return `${what}: ${because}.`
}

/** As `describeLoss`, with what is done about it. */
export function describeRetry(purpose: string, cause: Error | undefined): string {
  return `${describeLoss(purpose, cause)} ${isAnswer(cause) ? 'New connections are tried.' : 'It is being retried.'}`
}

/** The kind of a loss that passes by itself. */
function kindOfLoss(cause: Error | undefined): string {
  if (cause === undefined || !isAnswer(cause)) return DOWN
  if (/\bLOADING\b|\bis loading\b/.test(cause.message)) return 'loading'
  // A replica says in several ways that it is one.
  return cause instanceof RedisUnusable || /(^|-)(READONLY|MASTERDOWN)\b/.test(cause.message)
    ? 'replica'
    : kindOf(cause)
}

/** What a failed command says. ioredis names an option that our connections do not take from the application. */
export function wordsOf(cause: Error): string {
  return cause.name === 'MaxRetriesPerRequestError' ? 'it closed before an answer came' : cause.message
}

/**
 * Take out of an error of our client what must not get into a log: the arguments of a command. They may be the password
 * of Redis, the secret of the cluster, or names of users. ioredis adds them to the error, and Redis quotes some.
 */
export function withoutArguments<E extends Error | undefined>(error: E): E {
  if (error === undefined) return error
  const { command, cause, message, stack = '' } = error as Error & { command?: { name?: unknown } }
  if (command !== undefined) Object.assign(error, { command: { name: command.name } })
  const words = message.replace(/, with args beginning with: [^]*/, '')
  if (words !== message) Object.assign(error, { message: words, stack: stack.replace(message, () => words) })
  if (cause instanceof Error) withoutArguments(cause)
  return error
}

/** Turn the failure of PUBLISH or SUBSCRIBE into an error. @param sharded whether it is SPUBLISH or SSUBSCRIBE */
export function refusedCommand(error: Error, what: 'publish' | 'subscribe', sharded: boolean): MetroplexError {
  const cause = withoutArguments(error)
  const command = `${sharded ? 's' : ''}${what}`.toUpperCase()
  if (sharded && isUnknownCommand(cause)) {
    return new MetroplexError(
      'EPROTOCOL',
      `This Redis Cluster does not know ${command}: messages between servers need Redis 7 on a Cluster.`,
      { cause, maybe: false }
    )
  }
  const refused = isReply(cause)
  const sentence = refused
    ? `Redis refused ${command}: ${wordsOf(cause)}`
    : `The connection to Redis broke: ${wordsOf(cause)}`
  const maybe = !refused && !/isn't writeable/.test(cause.message)
  return new MetroplexError('EREGISTRY', explainRefusal(sentence, cause, sharded), { cause, maybe })
}

/**
 * Whether a refusal by Redis means that the connection must be replaced: it leads to no master, to the wrong one, to
 * one without replicas, or is not authenticated any more. Nothing was applied then.
 */
export function needsNewConnection({ message }: Error): boolean {
  // Redis 6 puts the reason of a failed script at the end of its sentence.
  return /(^|-)(READONLY|NOREPLICAS|MOVED|CLUSTERDOWN|MASTERDOWN|NOAUTH)\b/.test(message)
}

/** Whether Redis lacks a command, by its version or its configuration. */
export function isUnknownCommand({ message }: Error): boolean {
  return /\bunknown command\b/i.test(message)
}

/** How long everything must have worked before a lost connection is a new failure, in ms. */
const STEADY = 3000

/** The kind of a lost connection. */
const DOWN = 'down'

/**
 * Remembers which kinds of failures were reported, so that each is reported once until everything works again.
 *
 * A lost connection is reported only if no other failure was. A refusal says why, so it is reported even after that. A
 * connection that breaks soon after it works again, as one that is cut several times a second, is one failure.
 */
export class ReportedFailures {
  /** The kinds since everything worked last. */
  readonly #kinds = new Set<string>()
  /** Since when everything works, by `performance.now()`; `undefined` since a failure. */
  #worksSince: number | undefined
  /** Whether a lost connection was reported, and has not worked steadily since. */
  #unsteady = false

  /** @param steady how long everything must have worked before a lost connection is a new failure, in ms */
  constructor(private readonly steady = STEADY) {}

  /**
   * Whether to report an error now: `'new'`: yes; `'again'`: a connection was lost again that was reported as lost and
   * worked only briefly; `'known'`: nothing has worked since this kind was reported. It counts as reported then.
   */
  judge(error: Error | undefined, cluster: boolean): 'new' | 'again' | 'known' {
    if (this.#worksSince !== undefined && now() - this.#worksSince >= this.steady) this.#unsteady = false
    this.#worksSince = undefined
    const named = refusalOf(error, cluster)?.kind ?? kindOfLoss(error)
    if (this.#kinds.has(named) || (named === DOWN && this.#kinds.size > 0)) return 'known'
    this.#kinds.add(named)
    if (named !== DOWN) return 'new'
    const again = this.#unsteady
    this.#unsteady = true
    return again ? 'again' : 'new'
  }

  /** Everything works. */
  worked(): void {
    if (this.#worksSince !== undefined) return
    this.#worksSince = now()
    this.#kinds.clear()
  }
}
