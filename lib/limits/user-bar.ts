import { now } from '../common/async'
import type { Result } from '../common/types'
import { ResultBuilder } from '../delivery/result-builder'
import type { RpcCaller } from '../rpc/caller'
import { BAR, NO_MESSAGE, readEnded, type EndedUser } from './limit-questions'

/** What keeping users out uses of the cluster. */
export interface BarringCluster {
  /** Write to the registry who is kept out. @throws MetroplexError `EREGISTRY` when Redis does not answer */
  write(users: readonly string[], ms: number): Promise<void>
  /** Keep users out here. @returns the users whose sparks were ended */
  here(users: readonly string[], ms: number, reconnect: boolean): readonly EndedUser[]
  peers(): Promise<readonly string[]>
  /** Whether a peer names a word among its kinds. */
  takes(address: string, kind: string): boolean
  /** End the sparks of users wherever the registry finds them. */
  endUsers(users: readonly string[], reconnect: boolean): Promise<Result>
}

/** Ends the sparks of users on all servers, and keeps these users out for a while. */
export class UserBar {
  constructor(
    private readonly cluster: BarringCluster,
    private readonly caller: RpcCaller,
    /** How long servers have for an answer, in ms. */
    private readonly timeout: number
  ) {}

  /** @throws MetroplexError `EREGISTRY` when Redis cannot be asked; then nothing has changed */
  async end(users: readonly string[], reconnect: boolean, ms: number): Promise<Result> {
    const { cluster } = this
    const outcome = new ResultBuilder(this.timeout, 0)
    const absent = new Set(users)
    const ended = (them: readonly EndedUser[]): void => {
      for (const [user, sparks] of them) {
        outcome.send += sparks
        absent.delete(user)
      }
    }
    await cluster.write(users, ms)
    ended(cluster.here(users, ms, reconnect))
    const peers = await cluster.peers()
    const patience = { deadline: now() + this.timeout, signal: undefined }
    const question = { kind: BAR, detail: [users, ms, reconnect], message: NO_MESSAGE }
    const asking = peers
      .filter(address => cluster.takes(address, BAR))
      .map(async address => {
        try {
          ended(readEnded(await this.caller.ask(address, question, patience), address))
        } catch (error) {
          outcome.fail(address, error)
        }
      })
    await Promise.all(asking)
    if (ms === 0) return outcome.result(true)
    // Servers of earlier releases were not asked. The others have ended all that they have.
    const rest = await cluster.endUsers(users, reconnect)
    const missing = rest.missing?.filter(user => absent.has(user)) ?? []
    const { failed: unasked = [], send } = outcome.result(true)
    const failed = [...unasked, ...(rest.failed ?? [])]
    return {
      ok: failed.length === 0 && missing.length === 0,
      send: send + rest.send,
      ...(missing.length > 0 && { missing }),
      ...(failed.length > 0 && { failed })
    }
  }
}
