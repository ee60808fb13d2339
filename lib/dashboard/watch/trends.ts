import type { ClusterView } from '../../survey/cluster-view'

/** So many looks are kept: two minutes. */
const KEPT = 60

/** The sparks of each server, and of all, at the last looks. */
export class Trends {
  #servers = new Map<string, readonly number[]>()
  #all: readonly number[] = []

  /** The sparks of all servers, the oldest look first. */
  get all(): readonly number[] {
    return this.#all
  }

  of(address: string): readonly number[] {
    return this.#servers.get(address) ?? []
  }

  /** Keep what was seen. Servers that have gone are forgotten. */
  add({ servers }: ClusterView): void {
    this.#servers = new Map(
      servers.map(({ address, sparks }) => [address, [...this.of(address).slice(1 - KEPT), sparks]])
    )
    this.#all = [...this.#all.slice(1 - KEPT), servers.reduce((sum, { sparks }) => sum + sparks, 0)]
  }
}
