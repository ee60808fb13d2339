import { delay } from '../../common/async'
import { ignore } from '../../common/callback'
import type { RedisClient } from '../../common/types'
import { askStatus, type Answered } from '../../survey/answers'
import { ChangeWatcher, type ClusterEvent } from '../../survey/changes'
import { live, viewCluster, type ClusterView, type ServerView } from '../../survey/cluster-view'
import type { Difference } from '../../survey/differences'
import { OperatorSession, type SurveyTerms } from '../../survey/operator-session'
import type { ServerStatus } from '../../operations/operator-questions'
import { EventLog } from './event-log'
import { PageRefusal, sentenceOfError } from '../refusal'
import { rowsOf, type ServerRow } from './server-rows'
import { Trends } from './trends'

/** What was seen at one look. */
export interface Snapshot {
  readonly view: ClusterView
  readonly rows: readonly ServerRow[]
  readonly unequal: readonly Difference[]
  /** When Redis was asked, in ms since 1970. */
  readonly at: number
}

/** The time between two looks, and before Redis is tried again, in ms. */
const [PERIOD, RETRY] = [2000, 3000]
/** After so long without a request the page is hidden: the looks become rare; after so long it is closed, in ms. */
const [HIDDEN, CLOSED] = [6000, 60_000]
/** The time between two looks while the page is hidden, in ms. */
const RARE = 15_000
/** The most servers that are asked for their status at one look; the others have their turn at the next ones. */
const MOST_ASKED = 100
/** How long a look waits for the answers of servers before it shows what the registry knows, in ms. */
const PATIENCE = 300
/** A request waits so long for a look when the last one is older than `HIDDEN`, in ms. */
const AWAITED = 700

/**
 * Looks at the cluster while the page is open, for all browsers together: every 2 s at the registry, and at up to 100
 * servers, those that are shown first; every 15 s when all browsers have hidden it. It opens its connections with the
 * first request, and closes them when none has come for 60 s. While Redis is away it tries again every 3 s.
 */
export class ClusterWatch {
  readonly events = new EventLog()
  readonly trends = new Trends()
  #session: OperatorSession | undefined
  #changes: ChangeWatcher | undefined
  #layout = 0
  #snapshot: Snapshot | undefined
  #failure: string | undefined
  #running: Promise<void> | undefined
  #looking: Promise<void> | undefined
  /** When the last look ended. */
  #lookedAt = 0
  /** When a request came last, and what was shown then. */
  #wantedAt = 0
  #wanted: readonly string[] = []
  /** By address: the last answer, and the life that it is of. */
  readonly #answers = new Map<string, { readonly life: string; readonly answer: Answered<ServerStatus> }>()
  readonly #asking = new Set<string>()
  readonly #closing = new AbortController()

  constructor(
    private readonly redis: RedisClient,
    private readonly terms: SurveyTerms
  ) {}

  /** What was seen last; `undefined` before the first look. */
  get snapshot(): Snapshot | undefined {
    return this.#snapshot
  }

  /** Why Redis cannot be asked, in a sentence; `undefined` when it can, or has not been asked yet. */
  get failure(): string | undefined {
    return this.#failure
  }

  /** The last answer of a server. */
  status(address: string): Answered<ServerStatus> | undefined {
    return this.#answers.get(address)?.answer
  }

  /** Servers that a browser shows: they are asked first. */
  show(addresses: readonly string[]): void {
    this.#wanted = addresses
  }

  /** A browser asks. Resolves when there is something to show, or soon. */
  async attend(): Promise<void> {
    if (this.#closing.signal.aborted) throw new PageRefusal(503, 'This page has been closed.')
    this.#wantedAt = Date.now()
    this.#running ??= this.#run()
    if (Date.now() - this.#lookedAt > HIDDEN) await Promise.race([this.#look(), delay(AWAITED)])
  }

  /** What the cluster is asked through. @throws PageRefusal 503 while Redis is away */
  reach(): { readonly session: OperatorSession; readonly view: ClusterView } {
    if (this.#session !== undefined && this.#snapshot !== undefined && this.#failure === undefined)
      return { session: this.#session, view: this.#snapshot.view }
    throw new PageRefusal(503, this.#failure ?? 'Redis has not answered yet: try again in a moment.')
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await this.#running
    await this.#disconnect()
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing
    const unasked = (): number => Date.now() - this.#wantedAt
    while (!signal.aborted && unasked() < CLOSED) {
      await this.#look()
      await delay(this.#failure !== undefined ? RETRY : unasked() > HIDDEN ? RARE : PERIOD, signal)
    }
    this.#running = undefined
    await this.#disconnect()
  }

  /** Look once; a look that is under way counts. */
  #look(): Promise<void> {
    return (this.#looking ??= this.#lookOnce().finally(() => {
      this.#looking = undefined
      this.#lookedAt = Date.now()
    }))
  }

  async #lookOnce(): Promise<void> {
    try {
      const session = await this.#connect()
      const view = await viewCluster(session)
      if (this.#failure !== undefined) this.#tell([registryEvent({ state: 'back' })])
      this.#failure = undefined
      this.trends.add(view)
      this.#forget(view)
      await Promise.race([this.#ask(session, view), delay(PATIENCE)])
      const statuses = new Map([...this.#answers].map(([address, { answer }]) => [address, answer]))
      this.#snapshot = { view, ...rowsOf(view, statuses), at: Date.now() }
      this.#tell((await this.#changes?.compare(view, statuses)) ?? [])
    } catch (error) {
      const sentence = sentenceOfError(error).replace(/ Each attempt uses .*$/, '')
      if (this.#failure === undefined && this.#snapshot !== undefined)
        this.#tell([registryEvent({ state: 'away', error: sentence })])
      this.#failure = sentence
    }
  }

  /** Open a session. Servers may have changed the number of registries meanwhile: then another one. */
  async #connect(): Promise<OperatorSession> {
    if (this.#session !== undefined && this.terms.shards === undefined) {
      const layout = (await this.#session.inspections[0]?.layout()) ?? 0
      if (layout > 0 && layout !== this.#layout) await this.#disconnect()
    }
    if (this.#session === undefined) {
      this.#session = await OperatorSession.open(this.redis, this.terms)
      this.#layout = this.#session.shards.length
      this.#changes ??= new ChangeWatcher(this.#session)
    }
    return this.#session
  }

  async #disconnect(): Promise<void> {
    const session = this.#session
    this.#session = undefined
    this.#changes = undefined
    await session?.close().catch(ignore)
  }

  /** Ask servers for their status: those that are shown, then those whose last answer is the oldest. */
  async #ask(session: OperatorSession, view: ClusterView): Promise<void> {
    const wanted = new Set(this.#wanted)
    const age = ({ address }: ServerView): number =>
      wanted.has(address) ? 0 : (this.#answers.get(address)?.answer.at ?? 1)
    const due = live(view)
      .filter(({ address }) => !this.#asking.has(address))
      .sort((a, b) => age(a) - age(b))
      .slice(0, MOST_ASKED)
    for (const { address } of due) this.#asking.add(address)
    try {
      await askStatus(session, view, due, answer => {
        const { address, life } = answer.server
        this.#asking.delete(address)
        this.#answers.set(address, { life, answer })
      })
    } finally {
      for (const { address } of due) this.#asking.delete(address)
    }
  }

  /** Drop the answers of servers that have gone. */
  #forget(view: ClusterView): void {
    const lives = new Map(live(view).map(({ address, life }) => [address, life]))
    for (const [address, { life }] of this.#answers) if (lives.get(address) !== life) this.#answers.delete(address)
  }

  #tell(events: readonly ClusterEvent[]): void {
    for (const event of events) this.events.add(event)
  }
}

function registryEvent(detail: ClusterEvent['detail']): ClusterEvent {
  return { event: 'registry', address: '', name: '', detail }
}
