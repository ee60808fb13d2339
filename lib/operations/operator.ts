import { now } from '../common/async'
import { MetroplexError, peerError } from '../common/errors'
import type { BalanceOptions, DrainOptions } from '../common/types'
import type { Health } from '../reporting/types'
import type { RpcCaller } from '../rpc/caller'
import { WAIT, type PeerChannel } from '../rpc/peer-channel'
import { EMPTY, parcel } from '../rpc/question'
import { OPERATE, readStatus, type ServerStatus } from './operator-questions'

/** The message of the question, which says everything in its detail. */
const NO_VALUES = parcel([])

/** What an operator needs to know of the cluster. */
export interface OperatedCluster {
  /** Whether a peer names a word among its kinds. */
  takes(address: string, kind: string): boolean
}

/** Asks single servers how they are. Each question settles within its own deadline. */
export class Operator {
  constructor(
    private readonly caller: RpcCaller,
    private readonly channel: Pick<PeerChannel, 'carry'>,
    private readonly cluster: OperatedCluster
  ) {}

  /** Whether a server answers operators: it is live, and no earlier release. */
  answers(address: string): boolean {
    return this.cluster.takes(address, OPERATE)
  }

  /** What a server says of itself. @param timeout in ms @throws MetroplexError as a call does */
  async status(address: string, timeout: number): Promise<ServerStatus> {
    return readStatus(await this.#ask(address, ['status'], timeout), address)
  }

  /** What `health()` of a server says. @throws as `status` */
  async health(address: string, timeout: number): Promise<Health> {
    const answer = (await this.#ask(address, ['health'], timeout)) as Health | undefined
    if (Array.isArray(answer?.reasons) && Array.isArray(answer.warnings)) return answer
    throw new MetroplexError('EPROTOCOL', `${address} has answered something else than its health.`, { address })
  }

  /** Have a server begin to drain. Resolves when it has begun. @throws as `status` */
  async drain(address: string, options: DrainOptions, timeout: number): Promise<ServerStatus> {
    return readStatus(await this.#ask(address, ['drain', options], timeout), address)
  }

  /** Have a server begin to even out its sparks, as for `drain`. @throws as `status`, also in earlier releases */
  async balance(address: string, options: BalanceOptions, timeout: number): Promise<ServerStatus> {
    return readStatus(await this.#ask(address, ['balance', options], timeout), address)
  }

  /**
   * Measure one round trip to a server, in ms: an empty, signed message of a kind that every release knows.
   *
   * @throws MetroplexError as a message does
   */
  async ping(address: string, timeout: number): Promise<number> {
    const began = now()
    await this.channel.carry(address, WAIT, [], EMPTY, began + timeout)
    return now() - began
  }

  #ask(address: string, detail: readonly unknown[], timeout: number): Promise<unknown> {
    if (!this.answers(address))
      return Promise.reject(
        peerError('EPROTOCOL', address, 'runs an earlier release of metroplex, which answers no operator')
      )
    return this.caller.ask(address, { kind: OPERATE, detail, message: NO_VALUES }, { deadline: now() + timeout })
  }
}
