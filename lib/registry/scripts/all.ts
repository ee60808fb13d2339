import * as dead from './dead'
import * as former from './former'
import * as groups from './groups'
import * as life from './life'
import * as limits from './limits'
import { doubt, due, take } from './presence'
import * as sparks from './sparks'
import * as users from './users'
import type { Script } from './script'

/** All scripts, by their names. */
export const SCRIPTS: Readonly<Record<string, Script>> = {
  ...life,
  ...former,
  ...sparks,
  ...dead,
  ...users,
  ...groups,
  ...limits,
  doubt,
  due,
  take
}
