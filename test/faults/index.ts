import { deaths } from './deaths'
import { failovers } from './failovers'
import { hostile } from './hostile'
import { outages } from './outages'
import { ownership } from './ownership'
import { shutdown } from './shutdown'
import type { Row } from './row'

/** All rows, in the order of their numbers. */
export const rows: readonly Row[] = [...deaths, ...failovers, ...hostile, ...outages, ...ownership, ...shutdown]
  .sort((a, b) => Number(a.id.slice(1)) - Number(b.id.slice(1)))
