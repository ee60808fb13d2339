/** A program as `metroplex run` is given one. With `hang` among its arguments it does not end when it is told to. */
import { worker } from '../../lib/supervisor'

const me = worker()
const args = process.argv.slice(2)
console.log(`listening as ${me?.type ?? 'nobody'}, with ${args.join(' ') || 'nothing'}`)
console.error('and on the other stream')
if (args.includes('hang')) me?.onDrain(() => new Promise(() => undefined))
me?.ready()
