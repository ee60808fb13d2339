import { now } from '../common/async'
import { Malformed, type ReceivedMessage } from '../transport/envelope'
import type { PeerChannel } from './peer-channel'
import { EMPTY } from './question'

/** What a server announces: a server has joined, a server has left, or this server drains. */
export type Hint = 'join' | 'leave' | 'drain'

/** What hints use of the cluster. */
export interface HintedCluster {
  /** The last known addresses of all peers. */
  peers(): readonly string[]
  /** The addresses of all peers by the registry; the last known ones when it cannot be asked. */
  current(): Promise<readonly string[]>
  /** A server has joined or left; the registry says which. */
  moved(): void
  /** A peer has begun to drain. @param address tells its address, which may be unknown until the registry is read */
  drains(address: () => string): void
}

const NOTICE = 'notice'

/**
 * The most peers that receive a hint. Each may cost a connection; the others learn of the change by their next beat.
 */
const MOST_PEERS = 100

/** How long to try to send a hint that the next beat replaces, in ms. */
const SEND_TIMEOUT = 2000

/** How long to try to send the hint that this server drains, which nothing replaces, in ms. */
const DRAIN_TIMEOUT = 10_000

/**
 * Informs peers at once of changes that they would otherwise learn of by their next beat.
 *
 * A hint that a server has joined or left only makes a peer read the registry. So one that is lost, late or repeated
 * changes nothing. That a server drains, the registry does not say: that hint goes to all peers of this moment.
 */
export class MembershipHints {
  constructor(
    private readonly channel: PeerChannel,
    private readonly cluster: HintedCluster
  ) {
    channel.take(NOTICE, {
      check: ({ to }) => {
        if (typeof to !== 'string') throw new Malformed('A notice must be a word.')
      },
      apply: ({ from, to }: ReceivedMessage) => {
        if (to === 'drain') this.cluster.drains(() => channel.addressOf(from))
        else this.cluster.moved()
        return 0
      }
    })
  }

  /**
   * Send a hint to peers, chosen at random if there are many. Resolves when it has arrived or cannot; never rejects.
   */
  async send(hint: Hint): Promise<void> {
    const drains = hint === 'drain'
    const known = drains ? await this.cluster.current().catch(() => this.cluster.peers()) : this.cluster.peers()
    const peers = sample(known, MOST_PEERS)
    const until = now() + (drains ? DRAIN_TIMEOUT : SEND_TIMEOUT)
    await Promise.allSettled(peers.map(address => this.channel.carry(address, NOTICE, hint, EMPTY, until)))
  }
}

/** At most `most` of the items, at random. */
function sample<T>(items: readonly T[], most: number): readonly T[] {
  if (items.length <= most) return items
  const rest = [...items]
  return Array.from({ length: most }, () => rest.splice(Math.floor(Math.random() * rest.length), 1)[0] as T)
}
