import type { Cluster, Redis } from 'ioredis'
import { withTimeout } from '../common/async'
import { asError } from '../common/errors'
import { duplicateClusterOf } from '../common/ioredis-client'
import { DISCONNECT_TIMEOUT } from './fixed-options'
import { watchTurnedAway } from './turned-away'

/** The place of a node of a Redis Cluster. */
interface Node {
  readonly host: string
  readonly port: number
}

/** Finds the master of a Redis Cluster that holds a key, with a client that is closed again. */
export class SlotMasterFinder {
  #finder: Cluster | undefined
  /** The nodes of the Cluster at the last lookup, because those that the application listed may be gone. */
  #nodes: Node[] = []

  constructor(
    private readonly user: Cluster,
    /** The timeout of a lookup, in ms. */
    private readonly timeout: number
  ) {}

  /**
   * Ask the Cluster which master holds a key.
   *
   * @param key with the prefix of the client
   * @param known whether to start from the nodes of the last answer instead of those that the application listed. All
   *   of either may be gone, so a caller takes turns
   * @returns a client of that master, no longer connected
   */
  async find(key: string, known: boolean): Promise<Redis> {
    const { user } = this
    const { redisOptions } = user.options
    let turnedAway: Error | undefined
    const finder = duplicateClusterOf(user, known ? this.#nodes : [], {
      lazyConnect: true,
      enableReadyCheck: false,
      enableOfflineQueue: true,
      scaleReads: 'master',
      clusterRetryStrategy: () => null,
      redisOptions: {
        ...redisOptions,
        disableClientInfo: true,
        // It lasts for one lookup, and is not the connection that the application has named.
        connectionName: '',
        connectTimeout: this.timeout,
        disconnectTimeout: DISCONNECT_TIMEOUT,
        replyMapping: 'legacy'
      }
    })
    let cause: unknown
    finder.on('+node', (node: Redis) => {
      watchTurnedAway(node, error => (turnedAway = error))
    })
    finder.on('error', (error: Error & { lastNodeError?: unknown }) => {
      cause = turnedAway ?? error.lastNodeError ?? error
    })
    this.#finder = finder
    const late = (): Error => new Error('The Cluster did not report which master owns the slot of our keys.', { cause })
    try {
      return await withTimeout(this.#ownerOf(finder, key), this.timeout, late)
    } catch (error) {
      throw cause === undefined ? error : asError(cause)
    } finally {
      finder.disconnect()
    }
  }

  async #ownerOf(finder: Cluster, key: string): Promise<Redis> {
    await finder.connect()
    const owner = finder.slots[await finder.cluster('KEYSLOT', key)]?.[0]
    const nodes = finder.nodes().map(node => ({ node, at: node.options as Node }))
    this.#nodes = nodes.map(({ at: { host, port } }) => ({ host, port }))
    const found = nodes.find(({ at: { host, port } }) => `${host}:${port}` === owner)
    if (found === undefined) throw new Error('No master owns the slot of our keys.')
    return found.node
  }

  /** End a lookup that is under way. */
  close(): void {
    this.#finder?.disconnect()
  }
}
