import { ignore } from '../../lib/common/callback'
import { saidBy, type Said } from '../support/health-log'
import type { ServerProcess } from '../support/server'
import { eventually } from '../support/wait'
import type { Row } from './row'

/** How long after a fault `health()` of a server may say that something is wrong, in ms. */
const RECOVERY = 10_000

/** How long after a fault that stops a server's work `health()` may still be ok, in ms: a beat, and its deadline. */
const NOTICE = 2000

/** A beat failed, or Redis cannot be asked: the connection is down, or an answer is overdue. */
export const NO_REDIS =
  /^The connection to Redis |^The last beat failed: |^No beat has succeeded since|^Redis did not answer|^Redis refused/
/** The registry lost entries of this server, or may have. */
export const REPAIRED = /^The entries of this server in the registry are being repaired\.$/
/** This server was declared dead, removed, or has not registered yet. */
export const LAPSED = /^This server is not registered\.$|^The lease of this server is not held by its life/
/** Another live server has the address of this one. */
export const TAKEN = /^Another live server is registered at the address of this one/
/** A peer does not get messages, or does not answer. */
export const UNREACHED = /^Messages do not reach a peer|^No server of the cluster answers at the address of a peer/
/** The own address does not lead here. */
export const MISLED = /^Its own address, \S+, (does not lead to this server|leads to another server as well)\.$/
/** The own address does not answer in time. */
export const SLOW = /^Its own address, \S+, is slow to answer/

/** What the warnings of each server may say for a while on a machine that is busy. */
const BUSY = /^Its own address, \S+, is slow to answer|\(no answer within 500 ms\)/

/** Why a peer that has ended need not be warned of. */
export const UNNOTICED = 'a peer that has ended is noticed when it is asked, at most every 30 s, or when its lease ends'
/** Why a short break need not be seen. */
export const BRIEF = 'it may be over between two samples'

/** A sentence that matches one of these. */
export function either(...sentences: readonly RegExp[]): RegExp {
  return new RegExp(sentences.map(({ source }) => source).join('|'))
}

/** A peer has ended, and others may have noticed it before its lease ended. */
export const peerEnded = (by?: readonly number[]): Explained => ({
  warnings: UNREACHED,
  unless: UNNOTICED,
  ...(by !== undefined && { by })
})

/** A sentence of `health()` that a fault explains. */
export interface Explained {
  /** The servers that say it, in the order of their starts. @default all */
  readonly by?: readonly number[]
  /** Why a server is not ok. Each reason that it gives has to match, and one has to be given. */
  readonly reasons?: RegExp
  /** What a server warns of. Each warning has to match, and one has to be given. */
  readonly warnings?: RegExp
  /** Why `health()` need not say it. @default it has to */
  readonly unless?: string
  /** Whether it is still said at the end, because the fault lasts. @default false */
  readonly stays?: boolean
}

/**
 * What `health()` of the servers says: these sentences, and no others. Without sentences each server is ok, without a
 * warning, from its first `ready` on.
 */
export type HealthOfRow = readonly Explained[]

/** A server whose `health()` is sampled. */
export interface Observed {
  readonly name: string
  /** The place of the server in the order of starts. */
  readonly index: number
  /** Its process; `undefined` for this one. */
  readonly server: ServerProcess | undefined
  said(): readonly Said[]
}

/** From when to when a fault lasted. */
export interface Lasting {
  readonly began: number
  readonly ended: number
  /** The servers that cannot do their work meanwhile. */
  readonly by: readonly Observed[]
}

/** A server in a process of its own, as it is observed. @param of the global of another Primus in that process */
export function observed(server: ServerProcess, index: number, of = ''): Observed {
  return {
    name: `server ${index}${of === '' ? '' : ` (${of})`}, ${server.address}`,
    index,
    server,
    said: () => saidBy(server, of)
  }
}

/** Until all servers that still run are well again, but for what stays. @throws Error when health said anything else */
export async function judgeHealth(row: Row, all: readonly Observed[], lasting: readonly Lasting[]): Promise<void> {
  const wrong: string[] = []
  for (const one of all) {
    const explained = row.health.filter(({ by }) => by?.includes(one.index) ?? true)
    await eventually(() => left(one, explained).length === 0, { within: RECOVERY, every: 20 }).catch(() => {
      wrong.push(`${one.name} still says: ${left(one, explained).join(' ')}`)
    })
    // A fault that lasts is said sooner or later.
    const lasts = explained.filter(({ stays }) => stays === true)
    await eventually(() => unsaid(one, lasts).length === 0, { within: RECOVERY, every: 20 }).catch(ignore)
    wrong.push(...unexplained(one, explained), ...unsaid(one, explained), ...hidden(one, lasting))
  }
  if (process.env['METROPLEX_FAULT_HEALTH'] !== undefined) print(row, all)
  if (wrong.length > 0) throw new Error(`health() has lied:\n${wrong.join('\n')}`)
}

/** Sentences that are still said, and do not stay. */
function left(one: Observed, explained: readonly Explained[]): string[] {
  const last = one.said().at(-1)
  if (last === undefined || isGone(last) || one.server?.running === false) return []
  const stays = explained.filter(({ stays }) => stays === true)
  return [
    ...last.reasons.filter(reason => !stays.some(({ reasons }) => reasons?.test(reason))),
    ...last.warnings.filter(warning => !stays.some(({ warnings }) => warnings?.test(warning)))
  ]
}

/** Sentences that the fault does not explain. Before its first `ready` a server has more to say. */
function unexplained(one: Observed, explained: readonly Explained[]): string[] {
  const said = one.said()
  const first = said.findIndex(({ ok }) => ok)
  const wrong = new Set<string>()
  for (const entry of said.slice(Math.max(0, first))) {
    if (entry.ok !== (entry.reasons.length === 0)) wrong.add(`ok is ${entry.ok} with ${entry.reasons.length} reasons`)
    if (entry.ok ? entry.state !== 'ready' : isGone(entry) && entry.state === 'ready')
      wrong.add(`state ${entry.state}, where ok is ${entry.ok}: ${entry.reasons.join(' ')}`)
    if (entry.gauge !== entry.state) wrong.add(`metroplex_state ${entry.gauge}, where the state is ${entry.state}`)
    if (isGone(entry)) continue
    for (const reason of entry.reasons)
      if (!explained.some(({ reasons }) => reasons?.test(reason))) wrong.add(`reason: ${reason}`)
    for (const warning of entry.warnings)
      if (!BUSY.test(warning) && !explained.some(({ warnings }) => warnings?.test(warning)))
        wrong.add(`warning: ${warning}`)
  }
  return [...wrong].map(what => `${one.name}, unexplained ${what}`)
}

/** Sentences that should have been said. */
function unsaid(one: Observed, explained: readonly Explained[]): string[] {
  const said = one.said()
  return explained
    .filter(({ unless }) => unless === undefined)
    .flatMap(({ reasons, warnings }) => [
      ...(reasons === undefined || said.some(entry => entry.reasons.some(reason => reasons.test(reason)))
        ? []
        : [`${one.name} has given no reason ${String(reasons)}`]),
      ...(warnings === undefined || said.some(entry => entry.warnings.some(warning => warnings.test(warning)))
        ? []
        : [`${one.name} has given no warning ${String(warnings)}`])
    ])
}

/** Times at which a server said that it was ok although a fault kept it from its work. */
function hidden(one: Observed, lasting: readonly Lasting[]): string[] {
  const said = one.said()
  return lasting
    .filter(({ by }) => by.includes(one))
    .flatMap(({ began, ended }) => {
      const from = began + NOTICE
      if (ended <= from) return []
      const before = said.filter(({ at }) => at <= from).at(-1)
      const meanwhile = said.filter(({ at }) => at > from && at < ended)
      return [before, ...meanwhile]
        .filter(entry => entry?.ok === true)
        .map(entry => `${one.name} was ok ${Math.round((entry?.at ?? NaN) - began)} ms after the fault began`)
    })
}

function isGone({ reasons }: Said): boolean {
  return reasons.includes('This server has been destroyed.')
}

function print(row: Row, all: readonly Observed[]): void {
  const lines = all.flatMap(one => [
    `   ${one.name}${one.server?.running === false ? ', ended' : ''}`,
    ...one.said().map(entry => {
      const { at, ok, state, reasons, warnings } = entry
      const since = Math.round(at - (all[0]?.said()[0]?.at ?? at))
      return `     ${since} ms: ${ok ? 'ok' : 'NOT OK'} ${state} ${JSON.stringify(reasons)} ${JSON.stringify(warnings)}`
    })
  ])
  process.stderr.write(`HEALTH ${row.id}, ${row.fault}\n${lines.join('\n')}\n`)
}
