import type { CommitOutcome, LifeId, Page } from '../records'

/**
 * One index of a registry in Redis: what servers have entered there, such as sparks or users.
 *
 * Each server also keeps a list of its own entries, which a beat counts, a heal compares and a reap reads. A method is
 * one round trip, and rejects with `EREGISTRY` when Redis fails.
 *
 * @typeParam Item an entry of a server
 * @typeParam Batch the changes of one commit
 */
export interface IndexStore<Item, Batch> {
  /**
   * Write changes, as commit `seq`.
   *
   * While Redis is full, changes that need no memory are written all the same.
   *
   * @returns `others`: the servers that entries were taken from; `unwritten`: entries that Redis has no memory for
   */
  commit(me: LifeId, seq: number, batch: Batch): Promise<CommitOutcome<Item>>
  /** Add those of these entries that are missing, as commit `seq`. @returns `others`: those that another server has */
  claim(me: LifeId, seq: number, items: readonly Item[]): Promise<CommitOutcome<Item>>
  /** Remove entries that have moved from the list of their former owner. Its next beat finds a wrong number. */
  removeMoved(owner: string, items: readonly Item[]): Promise<void>
  /** A page of a server's list. @param aside read the list that was put aside under this name instead */
  page(address: string, cursor: string, aside?: string): Promise<Page<Item>>
}

/** An index whose entries go with the sparks that they belong to. They are removed without being reported. */
export interface DependentStore<Item> {
  page(address: string, cursor: string, aside?: string): Promise<Page<Item>>
  /** Remove entries of a life that has ended; `false` when it no longer counts as ended. */
  reap(dead: LifeId, items: readonly Item[]): Promise<boolean>
  /** Remove entries that a former life left behind, except those that its address has again. */
  clear(address: string, items: readonly Item[]): Promise<void>
}
