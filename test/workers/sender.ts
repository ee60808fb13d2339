/**
 * A process that is no server, and sends to the sparks that it is told of all the while; told to stop, it says what has
 * become of all messages, and ends.
 */
import { Redis } from 'ioredis'
import { createClient, type Forward } from '../../index'
import { Traffic } from '../../examples/rolling/traffic'
import type { SenderOrder, SenderReport } from './sending'

const [url = '', namespace = '', often = ''] = process.argv.slice(2)

const redis = new Redis(url)
const client = createClient({ redis, namespace })
client.on('error', error => {
  report({ error: error.message })
})
/** Forwards, and reports why one has failed. */
const forward: Pick<Forward, 'spark'> = {
  spark: (async (id: string, message: unknown) => {
    const result = await client.forward.spark(id, message)
    for (const { address, code, message: why } of result.failed ?? [])
      report({ error: `${id} was not reached at ${address}: ${code} ${why}` })
    return result
  }) as Forward['spark']
}
const traffic = new Traffic(forward, 'sender', Number(often), outcomes => {
  report({ outcomes })
})

process.on('message', (order: SenderOrder) => {
  if ('known' in order) traffic.known = order.known
  else
    stop().catch((error: unknown) => {
      report({ error: String(error) })
    })
})
process.once('disconnect', () => {
  process.exit()
})

async function stop(): Promise<void> {
  await traffic.end()
  await client.close()
  redis.disconnect()
  process.removeAllListeners('disconnect')
  process.disconnect()
}

function report(told: SenderReport): void {
  if (process.connected) process.send?.(told, undefined, undefined, () => undefined)
}
