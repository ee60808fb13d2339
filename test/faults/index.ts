import { deaths } from './deaths'
import { outages } from './outages'
import type { Row } from './row'

/** All rows, in the order of their numbers. */
export const rows: readonly Row[] = [...deaths, ...outages]
  .sort((a, b) => Number(a.id.slice(1)) - Number(b.id.slice(1)))
