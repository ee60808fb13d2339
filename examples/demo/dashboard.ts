import { once } from 'node:events'
import { createServer } from 'node:http'
import { Redis } from 'ioredis'
import { dashboard } from 'metroplex/dashboard'
import { listen, type Page } from './page'

/** Serves the dashboard of the cluster on localhost, on the first free port from the given one. */
export async function openDashboard(
  { redisUrl, namespace }: { readonly redisUrl: string; readonly namespace: string },
  wanted: number
): Promise<Page> {
  const redis = new Redis(redisUrl)
  // The page says that Redis is away.
  redis.on('error', () => undefined)
  const page = dashboard({ redis, namespace, environment: 'demo' })
  const server = createServer(page)
  const port = await listen(server, wanted)
  return {
    url: `http://localhost:${port}`,
    close: async () => {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
      await page.close()
      redis.disconnect()
    }
  }
}
