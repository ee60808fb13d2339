import { now } from '../common/async'
import { pushTo } from '../common/multimap'
import type { Holder } from '../registry/stores/limit-store'
import type { RpcCaller } from '../rpc/caller'
import { HOLDS, NO_MESSAGE, readAbsent, type LimitedSparks } from './limit-questions'

/** What checking uses of the cluster. */
export interface HolderCluster {
  /** The own address. */
  readonly own: string
  /** Whether a peer names a word among its kinds. */
  takes(address: string, kind: string): boolean
  /** Whether a peer is known. */
  knows(address: string): boolean
  /** Read from the registry which peers there are. */
  catchUp(): Promise<void>
}

/**
 * Asks servers whether they still hold the sparks that are registered under their addresses.
 *
 * The registry names the sparks of a server that has crashed until its lease has ended. Such a server refuses the
 * question at once, unless its machine has gone too.
 *
 * @param timeout how long servers have for an answer, in ms
 * @returns those of these entries that count no longer: their server does not hold them, or does not answer
 */
export async function vanished(
  holders: readonly Holder[],
  caller: RpcCaller,
  cluster: HolderCluster,
  local: LimitedSparks,
  timeout: number
): Promise<Holder[]> {
  const servers = new Map<string, string[]>()
  for (const [id, address] of holders) pushTo(servers, address, id)
  const deadline = now() + timeout
  // A server that has joined since the last beat cannot be asked before it is known.
  if ([...servers.keys()].some(address => address !== cluster.own && !cluster.knows(address))) await cluster.catchUp()
  const ask = async (address: string, ids: readonly string[]): Promise<readonly string[]> => {
    if (address === cluster.own) return ids.filter(id => !local.owns(id))
    // A server of an earlier release cannot be asked, so its sparks count.
    if (!cluster.takes(address, HOLDS)) return []
    const question = { kind: HOLDS, detail: ids, message: NO_MESSAGE }
    return caller.ask(address, question, { deadline, signal: undefined }).then(
      answer => readAbsent(answer, address),
      () => ids
    )
  }
  const asked = [...servers].map(async ([address, ids]) => {
    const absent = await ask(address, ids)
    return absent.map((id): Holder => [id, address])
  })
  return (await Promise.all(asked)).flat()
}
