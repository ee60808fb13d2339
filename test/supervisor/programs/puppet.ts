/** A worker that does what its environment says: the body of a function of `me` and `require`. */
import { runInThisContext } from 'node:vm'
import { worker } from '../../../lib/supervisor'

const script = runInThisContext(`(me, require) => { ${process.env['SCRIPT'] ?? ''} }`) as (
  me: unknown,
  require: NodeJS.Require
) => void
script(worker(), require)
