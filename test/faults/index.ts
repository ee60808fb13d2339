import { absent } from './absent'
import { calls } from './calls'
import { clients } from './clients'
import { deaths } from './deaths'
import { failovers } from './failovers'
import { hostile } from './hostile'
import { order } from './order'
import { outages } from './outages'
import { ownership } from './ownership'
import { peers } from './peers'
import { shutdown } from './shutdown'
import { strangers } from './strangers'
import { workers } from './workers'
import type { Row } from './row'

/** All rows, in the order of their numbers. */
export const rows: readonly Row[] = [
  ...absent, ...calls, ...clients, ...deaths, ...failovers, ...hostile, ...order, ...outages, ...ownership, ...peers, ...shutdown, ...strangers, ...workers
]
  .sort((a, b) => Number(a.id.slice(1)) - Number(b.id.slice(1)))
