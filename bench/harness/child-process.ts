/** The other side of `Child`: runs one errand after the other as they come, and ends with its parent. */
import { load } from '../../test/support/primus-types'
import { pack } from '../../test/support/server-wire'
import type { Errand, Order, Reply } from './child'

process.on('disconnect', () => process.exit(0))
// An interrupt from the keyboard goes to all of us: the parent ends us, when it has taken in what there is.
process.on('SIGINT', () => undefined)
process.on('message', (order: Order) => {
  perform(order)
    .then(value => reply({ id: order.id, value }))
    .catch((error: unknown) => reply({ id: order.id, error: pack(error) }))
})

async function perform({ file, name, args }: Order): Promise<unknown> {
  const errand = (load(file) as Partial<Record<string, Errand<unknown, unknown>>>)[name]
  if (errand === undefined) throw new Error(`${file} exports no function ${name}.`)
  return await errand(args)
}

function reply(message: Reply): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => undefined)
}
