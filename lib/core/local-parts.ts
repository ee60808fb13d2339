import type { Primus, Spark } from '../common/types'
import { GroupDelivery } from '../delivery/group-forwarder'
import { LocalDelivery, NO_SPARKS, type Here, type LocalPrimus } from '../delivery/local'
import { LocalDescriptions } from '../descriptions/local-descriptions'
import type { Backbone } from './backbone'

/** What this server knows of its sparks. */
export function openDescriptions(
  { settings, shards }: Backbone,
  primus: Partial<Primus> | undefined
): LocalDescriptions {
  return new LocalDescriptions({
    owns: id => shards.sparks.owns(id),
    // An application may have entered objects that are no sparks of Primus.
    spark: id => shards.sparks.spark(id, Object.prototype),
    user: id => shards.users.of(id),
    groups: id => shards.groups.of(id),
    server: settings.name,
    get transport() {
      return primus?.spec?.transformer ?? ''
    }
  })
}

/** What writes to the sparks of a Primus, for this process and for peers. */
export function openLocal(
  { gateway, settings, shards, stats }: Backbone,
  primus: Partial<Primus> | undefined,
  spark: (id: string) => Spark | undefined
): Here {
  if (primus?.forEach === undefined) return NO_SPARKS
  const local = new LocalDelivery(primus as LocalPrimus, spark, {
    maxBuffered: settings.maxBuffered,
    ended: () => {
      stats.count('ended')
    }
  })
  const delivery = new GroupDelivery(local, group => shards.groups.sparks(group))
  gateway.handle(
    {
      some: (ids, message) => local.some(ids, message),
      all: (message, except) => local.all(message, except),
      groups: (groups, message, except) => delivery.groups(groups, message, except)
    },
    work => local.together(work)
  )
  return local
}
