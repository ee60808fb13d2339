import { now } from '../deadline'
import { Message } from '../message'
import { Malformed, type Incoming } from '../transport/envelope'
import { NOTHING, type Mail } from './mail'

/** What a server tells: that somebody has joined, somebody has left, or it lets its own sparks go. */
export type News = 'join' | 'leave' | 'drain'

/** What notices ask of the cluster, and tell it. */
export interface NoticesCluster {
  /** The addresses of all peers, as known last. */
  peers(): readonly string[]
  /** Somebody has joined or left: the registry knows who. */
  moved(): void
  /** A peer lets its sparks go. */
  drains(address: string): void
}

const NOTICE = 'notice'

/** So many peers are told, at the most: all others hear of it by their next beat. It takes a connection to each. */
const MOST = 100

/** For how long we try to tell one, in ms. */
const PATIENCE = 2000

/**
 * Tells peers at once what they would hear of by their next beat otherwise.
 *
 * It is a hint to look, and no news by itself: what has happened says the registry, so that a notice that is lost, late or repeated changes nothing.
 */
export class Notices {
  constructor(private readonly mail: Mail, private readonly cluster: NoticesCluster) {
    mail.take(NOTICE, {
      check: ({ to }) => {
        if (typeof to !== 'string') throw new Malformed('A notice must be a word.')
      },
      apply: ({ from, to }: Incoming) => {
        if (to === 'drain') this.cluster.drains(mail.addressOf(from))
        else this.cluster.moved()
        return 0
      }
    })
  }

  /** Tell peers, at random if they are too many. Resolves when they know, or cannot be told; never rejects. */
  async tell(news: News): Promise<void> {
    const peers = some(this.cluster.peers(), MOST)
    await Promise.allSettled(peers.map(address => this.mail.carry(address, NOTICE, news, EMPTY, now() + PATIENCE)))
  }
}

const EMPTY = Message.of(NOTHING, false)

/** So many of them, at random. */
function some<T>(items: readonly T[], most: number): readonly T[] {
  if (items.length <= most) return items
  const rest = [...items]
  return Array.from({ length: most }, () => rest.splice(Math.floor(Math.random() * rest.length), 1)[0] as T)
}
