import type { Answer, Back, Peer, Request, Transport } from '../../common/transport-contract'
import { deferred, now, withTimeout } from '../../common/async'
import { MetroplexError } from '../../common/errors'

/** How long a process has to open another return path after one broke, unless a term says otherwise, in ms. */
const GRACE = 1000

/** The return path of one process. */
interface ReturnPath {
  back: Back
  /** The connection on which the process answered our hello. */
  greeted: Back | undefined
  /** Runs while no connection is open. */
  timer: NodeJS.Timeout | undefined
  /** The next connection, for a message that waits for it. */
  next: ReturnType<typeof deferred<Back>> | undefined
}

/**
 * The return paths of processes without an address, by node id. A transport to them.
 *
 * The last connection on which a process sent a request is its return path. When it ends, messages wait for the next
 * one for a second, the grace. After that the process is lost.
 */
export class ReturnPaths implements Pick<Transport, 'greet' | 'send' | 'release'> {
  readonly #paths = new Map<string, ReturnPath>()
  /** The node ids of the processes behind each connection. */
  readonly #nodeIds = new Map<Back, Set<string>>()
  #closed = false

  /**
   * @param onLost called when a process has not reconnected in time
   * @param grace how long it has for that, in ms
   */
  constructor(
    private readonly onLost: (nodeId: string) => void,
    private readonly grace = GRACE
  ) {}

  /** Whether there is a return path to a process, or was one within the grace. */
  has(nodeId: string): boolean {
    return this.#paths.has(nodeId)
  }

  /** Record the connection on which a process sent an authenticated request that is not a replay. */
  record(nodeId: string, back: Back): void {
    const path = this.#paths.get(nodeId)
    if (path?.back === back || this.#closed) return
    if (path === undefined) {
      this.#paths.set(nodeId, { back, greeted: undefined, timer: undefined, next: undefined })
    } else {
      clearTimeout(path.timer)
      this.#detach(nodeId, path.back)
      path.back = back
      path.timer = undefined
      path.next?.resolve(back)
      path.next = undefined
    }
    const nodeIds = this.#nodeIds.get(back)
    if (nodeIds === undefined) this.#nodeIds.set(back, new Set([nodeId]))
    else nodeIds.add(nodeId)
  }

  /** A connection has ended. */
  closed(back: Back): void {
    for (const nodeId of this.#nodeIds.get(back) ?? []) {
      const path = this.#paths.get(nodeId)
      if (path !== undefined)
        path.timer = setTimeout(() => {
          this.#expire(nodeId)
        }, this.grace).unref()
    }
    this.#nodeIds.delete(back)
  }

  /** Drop the return path of a process. */
  forget(nodeId: string): void {
    const path = this.#paths.get(nodeId)
    if (path === undefined) return
    this.#paths.delete(nodeId)
    this.#detach(nodeId, path.back)
    clearTimeout(path.timer)
    path.next?.reject(unreachableError(nodeId))
  }

  /** Drop all return paths, and record no more. */
  close(): void {
    this.#closed = true
    for (const nodeId of [...this.#paths.keys()]) this.forget(nodeId)
  }

  async greet({ word: nodeId }: Peer, hello: Request, deadline: number): Promise<Answer> {
    const path = this.#paths.get(nodeId)
    if (path === undefined) throw unreachableError(nodeId)
    const back = path.back.open ? path.back : await this.#nextConnection(nodeId, path, deadline)
    path.greeted = back
    return back.ask(hello, deadline)
  }

  async send({ word: nodeId }: Peer, request: Request, deadline: number): Promise<Answer> {
    const path = this.#paths.get(nodeId)
    // Only a connection on which the process answered a hello is used.
    if (path?.back.open !== true || path.back !== path.greeted) throw unreachableError(nodeId)
    return path.back.ask(request, deadline)
  }

  /** Nothing to release: the connections belong to the other process. */
  release(): void {
    // See above.
  }

  /** The next connection of a process. */
  #nextConnection(nodeId: string, path: ReturnPath, deadline: number): Promise<Back> {
    path.next ??= deferred<Back>()
    return withTimeout(
      path.next.promise,
      Math.max(0, deadline - now()),
      () =>
        new MetroplexError('EDEADLINE', `The connection to ${nodeId} broke, and it has not come back.`, {
          address: nodeId,
          maybe: false
        })
    )
  }

  #expire(nodeId: string): void {
    this.forget(nodeId)
    this.onLost(nodeId)
  }

  #detach(nodeId: string, back: Back): void {
    const nodeIds = this.#nodeIds.get(back)
    nodeIds?.delete(nodeId)
    if (nodeIds?.size === 0) this.#nodeIds.delete(back)
  }
}

/** The error for a process without a return path. Nothing was sent. */
export function unreachableError(nodeId: string): MetroplexError {
  return new MetroplexError('EUNREACHABLE', `There is no connection to ${nodeId}, which has no address.`, {
    address: nodeId,
    maybe: false
  })
}
