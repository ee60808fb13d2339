import type { Beat, SparkChanges } from '../registry/records'
import type { LocalSparks } from './local-sparks'
import { PendingWrites, type Taken } from './pending-writes'

/** What has to be written for an id. `reconnect`: a disconnect and a connect of an id that the registry has. */
type Pending = 'connect' | 'disconnect' | 'reconnect'

/** How many entries that change adds to the registry. */
const ADDS: Readonly<Record<Pending, number>> = { connect: 1, disconnect: -1, reconnect: 0 }

/**
 * The connects and disconnects that wait to be written.
 *
 * A connect and its disconnect cancel out if neither was written. A disconnect and then a connect are one connect.
 */
export class PendingSparks extends PendingWrites<string, SparkChanges, Pending> {
  constructor(private readonly table: LocalSparks) {
    super()
  }

  protected get size(): number {
    return this.table.size - this.table.disowned.size
  }

  protected override get empty(): boolean {
    return this.table.size === 0
  }

  items(): Generator<string, undefined> {
    return this.table.ids()
  }

  /** Note that an id has connected. */
  connect(id: string): void {
    if (this.isPostponed(id)) return
    const before = this.changeOf(id)
    if (before === undefined) this.add(id, 'connect')
    else if (before !== 'connect') this.set(id, 'reconnect')
  }

  /** Note that an id has disconnected. */
  disconnect(id: string): void {
    if (this.dropPostponed(id)) return
    const before = this.changeOf(id)
    if (before === undefined) this.add(id, 'disconnect')
    else if (before === 'connect') this.drop(id)
    else this.set(id, 'disconnect')
  }

  postpone(ids: readonly string[]): void {
    for (const id of ids) {
      // A change since then was noted as if the registry had the id.
      const since = this.drop(id)
      if (since === 'reconnect') this.set(id, 'connect')
      else if (since === undefined && this.table.owns(id)) this.keepPostponed(id, id)
    }
  }

  take(max: number): Taken<string, SparkChanges> | undefined {
    const connects: string[] = []
    const disconnects: string[] = []
    this.takeEach(
      max,
      (id, pending) => {
        ;(pending === 'disconnect' ? disconnects : connects).push(id)
      },
      id => this.changeOf(id) === undefined && connects.push(id) > 0
    )
    if (connects.length + disconnects.length === 0) return undefined
    return { batch: { connects, disconnects }, added: connects }
  }

  agrees({ sparks }: Extract<Beat, { as: 'ok' }>): boolean {
    return this.countMatches(sparks)
  }

  /** Whether an id is connected here, disowned or not, and does not wait to be written. */
  settled(id: string): boolean {
    return this.table.holds(id) && !this.#waits(id)
  }

  excess(ids: readonly string[]): { batch: SparkChanges; wrong: number } {
    const disconnects = ids.filter(id => !this.table.owns(id) && !this.#waits(id))
    return { batch: { connects: [], disconnects }, wrong: disconnects.length }
  }

  protected adds(pending: Pending): number {
    return ADDS[pending]
  }

  protected isSure(): boolean {
    return true
  }

  /** Whether an id waits to be written, or for Redis to have room. */
  #waits(id: string): boolean {
    return this.changeOf(id) !== undefined || this.isPostponed(id)
  }
}
