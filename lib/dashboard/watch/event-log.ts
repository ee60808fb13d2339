import type { ClusterEvent } from '../../survey/changes'
import type { WireEvent } from '../wire'

/** So many events are kept, the newest ones. */
const KEPT = 500

/** The last events, numbered. */
export class EventLog {
  #events: WireEvent[] = []
  #seq = 0

  add({ event, address, name, detail }: ClusterEvent): void {
    this.#events.push({ seq: ++this.#seq, at: Date.now(), event, address, name, detail })
    if (this.#events.length > 2 * KEPT) this.#events = this.#events.slice(-KEPT)
  }

  /** The events behind a number, the newest first. @param address only those of this server */
  after(seq: number, address?: string): WireEvent[] {
    return this.#events
      .slice(-KEPT)
      .filter(event => event.seq > seq && (address === undefined || event.address === address))
      .reverse()
  }
}
