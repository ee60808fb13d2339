import { beats } from './beats'
import { broadcast, sockjs } from './broadcast'
import { forward } from './forward'
import type { Work } from './harness/work'
import { groupSizes } from './group-sizes'
import { groups, joins } from './groups'
import { heal } from './heal'
import { lookup } from './lookup'
import { memory } from './memory'
import { metrics } from './metrics'
import { presence } from './presence'
import { reap, reapGroups } from './reap'
import { register } from './register'
import { sparks } from './sparks'
import { trickles } from './trickle'

/** All there is to measure, in the order in which it is. */
export const works: readonly Work[] = [
  register,
  lookup,
  forward,
  ...trickles,
  sparks,
  broadcast,
  sockjs,
  groups,
  joins,
  groupSizes,
  reapGroups,
  ...presence,
  reap,
  heal,
  beats,
  memory,
  metrics
]
