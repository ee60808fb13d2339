import type { Forward, Metroplex } from '../../index'
import { createPrimus, type CreatedPrimus, type PrimusOptions } from './primus'

/** A server of the cluster in this process, with the types of this plugin. */
export interface Registered extends Omit<CreatedPrimus, 'metroplex'> {
  metroplex: Metroplex
  forward: Forward
  address: string
}

/** As `createPrimus`, of this very plugin; resolves once it is registered. */
export async function createRegistered(options: Omit<PrimusOptions, 'plugin'>): Promise<Registered> {
  const created = await createPrimus(options)
  const metroplex = created.metroplex as unknown as Metroplex
  const address = await metroplex.ready()
  return { ...created, metroplex, forward: (created.primus as unknown as { forward: Forward }).forward, address }
}
