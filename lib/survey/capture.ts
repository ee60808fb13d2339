import { MetroplexError, type ErrorCode } from '../common/errors'
import { VERSION } from '../reporting/version'
import type { Answered } from './answers'
import type { ClusterView, ServerView } from './cluster-view'
import type { Finding } from './findings/finding'
import type { Examination } from './findings/examination'
import type { ClusterSurvey } from './survey'

/** The format of captures. A change that an earlier release could not read, or would misread, has the next number. */
const FORMAT = 1

/** An answer in a capture: its server is one of the view. */
interface StoredAnswer {
  readonly address: string
  readonly took: number
  readonly at: number
  readonly value?: unknown
  readonly error?: { readonly code: ErrorCode; readonly message: string }
}

/** All that is known of a cluster, as an object that JSON keeps. It has names and addresses, and no secrets. */
export function captureOf(examined: Examination, findings: readonly Finding[]): object {
  const { statuses, healths, pings, redis, strays, ...plain } = examined
  return {
    capture: FORMAT,
    version: VERSION,
    at: new Date().toISOString(),
    findings,
    ...plain,
    statuses: [...statuses.values()].map(stored),
    healths: healths.map(stored),
    pings: pings.map(stored),
    redis: redis.map(({ facts, forbidden }) => ({ facts: Object.fromEntries(facts), forbidden: forbidden ?? null })),
    strays: Object.fromEntries(strays)
  }
}

/**
 * What a capture says of a cluster, to be reported as the cluster itself is.
 *
 * @param text the contents of the file
 * @param file its name, for errors
 * @throws TypeError for anything but a capture of this format
 */
export function capturedSurvey(text: string, file: string): ClusterSurvey {
  const read = parsed(text, file)
  const { capture, version, at, namespace, view } = read
  if (capture !== FORMAT) {
    const what = capture === undefined ? 'no format' : `the format ${JSON.stringify(capture)}`
    const by = typeof version === 'string' ? ` metroplex ${version} has written it, and reads it.` : ''
    throw new TypeError(
      `The capture ${file} has ${what}, and metroplex ${VERSION} reads the format ${FORMAT} alone.${by}`
    )
  }
  if (typeof at !== 'string' || typeof namespace !== 'string' || !isView(view)) throw damaged(file)
  let examined: Examination
  try {
    examined = restored(read, namespace, view)
  } catch {
    throw damaged(file)
  }
  return {
    namespace,
    captured: at,
    view: () => Promise.resolve(view),
    statuses: () => Promise.resolve(examined.statuses),
    examine: () => Promise.resolve(examined)
  }
}

type Fields = Partial<Record<keyof Examination | 'capture' | 'version' | 'at', unknown>>

function parsed(text: string, file: string): Fields {
  try {
    const read: unknown = JSON.parse(text)
    if (typeof read === 'object' && read !== null && !Array.isArray(read)) return read
  } catch {
    // As for JSON that is no capture.
  }
  throw new TypeError(`The file ${file} is no capture: give one that metroplex doctor --save has written.`)
}

function damaged(file: string): TypeError {
  return new TypeError(`The capture ${file} is damaged: write a new one with metroplex doctor --save.`)
}

function isView(view: unknown): view is ClusterView {
  const { servers, time } = (view ?? {}) as Partial<ClusterView>
  return Array.isArray(servers) && typeof time === 'number'
}

function restored(read: Fields, namespace: string, view: ClusterView): Examination {
  const servers = new Map(view.servers.map(server => [server.address, server]))
  const answers = <T>(list: unknown): Answered<T>[] =>
    (list as StoredAnswer[]).map(answer => answered<T>(answer, servers))
  const redis = (read.redis as { facts: Record<string, string>; forbidden: string[] | null }[]).map(one => ({
    facts: new Map(Object.entries(one.facts)),
    forbidden: one.forbidden ?? undefined
  }))
  return {
    namespace,
    view,
    statuses: new Map(
      answers<Examination['statuses'] extends ReadonlyMap<string, Answered<infer S>> ? S : never>(read.statuses).map(
        answer => [answer.server.address, answer]
      )
    ),
    healths: answers(read.healths),
    pings: answers(read.pings),
    unequal: read.unequal as Examination['unequal'],
    redis,
    ahead: Number(read.ahead),
    strays: new Map(Object.entries(read.strays as Record<string, number>)),
    scanned: Number(read.scanned)
  }
}

function stored({ server, value, took, at, failure }: Answered<unknown>): StoredAnswer {
  const { address } = server
  if (failure === undefined) return { address, took, at, value }
  return { address, took, at, error: { code: failure.code, message: failure.message } }
}

function answered<T>(
  { address, took, at, value, error }: StoredAnswer,
  servers: ReadonlyMap<string, ServerView>
): Answered<T> {
  const server = servers.get(address)
  if (server === undefined) throw new TypeError(`There is no server ${address}.`)
  const failure = error && new MetroplexError(error.code, error.message, { address })
  return { server, value: value as T | undefined, took, at, failure }
}
