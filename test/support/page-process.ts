/** The page of a cluster in a process whose CPU is counted alone: what runs there. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Redis } from 'ioredis'
import { dashboard } from '../../lib/dashboard'

/** Serves the page. Resolves with its URL. */
export async function serveAlone({ url, namespace }: { url: string; namespace: string }): Promise<string> {
  const server = createServer(dashboard({ redis: new Redis(url), namespace }))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
}

/** The CPU that this process has used, in ms. */
export function usedCpu(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
