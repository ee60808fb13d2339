/**
 * A process with a Primus server that never listens, and is destroyed: what the row of that fault starts.
 *
 * Sends under which address it was registered, and after how many ms `destroy` called back; then nothing should keep
 * it.
 */
import type { Metroplex } from '../../index'
import { createPrimus } from '../support/primus'

const [url = '', namespace = '', address = ''] = process.argv.slice(2)

async function main(): Promise<void> {
  const { primus, metroplex, redis } = await createPrimus({
    redis: { url, namespace },
    listen: false,
    primus: address === '' ? {} : { address }
  })
  const registered = address === '' ? '' : await (metroplex as unknown as Metroplex).ready()
  const began = performance.now()
  await new Promise<void>((resolve, reject) => primus.destroy({}, error => (error ? reject(error) : resolve())))
  const ms = performance.now() - began
  redis.disconnect()
  process.send?.({ registered, ms })
}

main().catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`)
  process.exit(1)
})
