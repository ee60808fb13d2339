import { absent } from './absent'
import { addresses } from './addresses'
import { calls } from './calls'
import { clients } from './clients'
import { deaths } from './deaths'
import { detours } from './detours'
import { failovers } from './failovers'
import { groupFaults } from './groups'
import { hostile } from './hostile'
import { order } from './order'
import { origin } from './origin'
import { outages } from './outages'
import { ownership } from './ownership'
import { peers } from './peers'
import { presenceFaults } from './presence'
import { refusals } from './refusals'
import { rivals } from './rivals'
import { shutdown } from './shutdown'
import { strangers } from './strangers'
import { supervised } from './supervised'
import { workers } from './workers'
import type { Row } from './row'

/** All rows, in the order of their numbers; those of groups and of presence come last. */
export const rows: readonly Row[] = [
  ...absent,
  ...addresses,
  ...calls,
  ...clients,
  ...deaths,
  ...detours,
  ...failovers,
  ...groupFaults,
  ...hostile,
  ...order,
  ...origin,
  ...outages,
  ...ownership,
  ...peers,
  ...presenceFaults,
  ...refusals,
  ...rivals,
  ...shutdown,
  ...strangers,
  ...supervised,
  ...workers
].sort((a, b) => (a.id[0] === b.id[0] ? Number(a.id.slice(1)) - Number(b.id.slice(1)) : a.id < b.id ? -1 : 1))
