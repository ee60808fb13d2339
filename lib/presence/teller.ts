import { randomBytes } from 'node:crypto'
import { ignore } from '../common/callback'
import { now, withTimeout } from '../common/async'
import { asError, MetroplexError } from '../common/errors'
import type { PresenceListener, PresenceStore } from '../registry/stores/presence-store'
import type { Watchers } from './watchers'
import { readAnnouncement } from './announcement'

/** The most announcements of one registry whose handlers run at the same time. */
const MOST = 200

/** What a teller reports. */
export interface TellerEvents {
  /** A handler threw, or has not settled in time. */
  failed(error: Error): void
}

/**
 * Tells the announcements of one registry to the handlers of this process, each at least once in the cluster.
 *
 * An announcement stays in the registry until its handlers have settled. What a write of this server is the first to
 * know is told at once. Everything else is told by the process that has the turn: names whose grace is over, and
 * announcements that no process has settled. A process passes over an announcement that its handlers have just failed,
 * so that another one takes it.
 */
export class Teller implements PresenceListener {
  /** Names this process for the turn. */
  readonly #name = randomBytes(9).toString('base64url')
  /** Those that wait here or whose handlers run, and when they are left to the registry, by `performance.now()`. */
  readonly #open = new Map<string, number>()
  /** Those that wait, oldest first, from the place `#next` on. */
  #waiting: string[] = []
  #next = 0
  #running = 0
  #asking = false
  /** Whether the registry has more than there was room for. */
  #more = false
  /** Announcements that handlers here have failed lately, and when. */
  readonly #failed = new Map<string, number>()
  /** Announcements that are told, but still in the registry. */
  readonly #settled = new Set<string>()
  #acknowledging = false
  #timer: NodeJS.Timeout | undefined
  #state: 'idle' | 'active' | 'closed' = 'idle'

  constructor(
    private readonly store: PresenceStore,
    private readonly watchers: Watchers,
    private readonly events: TellerEvents
  ) {
    store.listener = this
  }

  get listening(): boolean {
    return this.watchers.some && this.#state !== 'closed'
  }

  /** Begin to tell; a second call changes nothing. It ends by itself when no handlers are left. */
  start(): void {
    if (this.#state !== 'idle') return
    this.#state = 'active'
    this.#schedule(0)
  }

  /** Tell nothing more. Handlers that run go on. */
  close(): void {
    this.#state = 'closed'
    clearTimeout(this.#timer)
    this.#waiting = []
    this.#next = 0
  }

  hear(announcements: readonly string[]): void {
    if (!this.listening) return
    for (const announcement of announcements) {
      if (this.#open.has(announcement)) continue
      this.#open.set(announcement, now() + this.store.patience)
      this.#waiting.push(announcement)
    }
    this.#tellNext()
  }

  #schedule(ms: number): void {
    if (this.#state !== 'active') return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#asking = true
      this.#ask()
        // Redis is away: beats report that.
        .catch(() => this.store.turn)
        .then(pause => {
          this.#asking = false
          if (this.watchers.some) this.#schedule(pause)
          else if (this.#state === 'active') this.#state = 'idle'
        })
        .catch(ignore)
    }, ms).unref()
  }

  /** Take what is to be told, as far as there is room. @returns the ms until it is to be asked again */
  async #ask(): Promise<number> {
    const { store } = this
    const often = store.turn / 3
    this.#forget()
    this.#acknowledge()
    const room = MOST - this.#open.size
    if (room <= 0) return often
    // Announcements that are passed over must not take the places of others.
    const most = room + this.#failed.size + this.#settled.size + this.#open.size
    const due = await store.due(this.#name, most)
    const announcements = due.announcements.filter(announcement => !this.#passes(announcement)).slice(0, room)
    const names = due.names.slice(0, room)
    if (announcements.length + names.length > 0) this.hear(await store.take(this.#name, { names, announcements }))
    this.#more = names.length === room || announcements.length === room
    if (this.#more && this.#roomy) return 0
    return due.turn ? often : store.turn
  }

  /** Whether so many handlers have settled that it is worth to ask for more. */
  get #roomy(): boolean {
    return this.#open.size <= MOST / 2
  }

  #passes(announcement: string): boolean {
    return this.#open.has(announcement) || this.#failed.has(announcement) || this.#settled.has(announcement)
  }

  /** Forget failures from which other processes had the time to take the announcement. */
  #forget(): void {
    const { patience, turn } = this.store
    const old = now() - patience - 3 * turn
    for (const [announcement, when] of this.#failed) {
      if (when > old) break
      this.#failed.delete(announcement)
    }
  }

  #tellNext(): void {
    while (this.#running < MOST) {
      const announcement = this.#waiting[this.#next++]
      if (announcement === undefined) {
        this.#waiting = []
        this.#next = 0
        return
      }
      const left = (this.#open.get(announcement) ?? 0) - now()
      // By now the registry offers it to all processes.
      if (left <= 0) {
        this.#open.delete(announcement)
        continue
      }
      this.#running++
      this.#tell(announcement, left)
        .catch(ignore)
        .finally(() => {
          this.#running--
          this.#open.delete(announcement)
          this.#tellNext()
          if (this.#more && this.#roomy && !this.#asking) {
            this.#more = false
            this.#schedule(0)
          }
        })
        .catch(ignore)
    }
  }

  async #tell(text: string, ms: number): Promise<void> {
    const announcement = readAnnouncement(text)
    try {
      if (announcement !== undefined) {
        const late = (): Error => new Error(`It has not settled within ${Math.ceil(ms)} ms.`)
        await withTimeout(this.watchers.tell(announcement), ms, late)
      }
      this.#settled.add(text)
      this.#acknowledge()
    } catch (error) {
      this.#failed.delete(text)
      this.#failed.set(text, now())
      const cause = asError(error)
      this.events.failed(
        new MetroplexError(
          'EWATCH',
          `The handler \`${announcement?.event ?? ''}\` of \`watch\` has failed, and is called again: ${cause.message}`,
          { cause }
        )
      )
    }
  }

  /** Remove told announcements from the registry, all of one turn of the event loop together. */
  #acknowledge(): void {
    if (this.#acknowledging || this.#settled.size === 0) return
    this.#acknowledging = true
    setImmediate(() => {
      const announcements = [...this.#settled]
      this.store
        .acknowledge(announcements)
        .then(
          () => {
            for (const announcement of announcements) this.#settled.delete(announcement)
            return true
          },
          // The next question of this process tries again.
          () => false
        )
        .then(worked => {
          this.#acknowledging = false
          if (worked) this.#acknowledge()
        })
        .catch(ignore)
    })
  }
}
