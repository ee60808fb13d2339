/** An HTTP server that knows nothing of Primus, on a port that it shares with others of its kind. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { worker } from '../../../lib/supervisor'

const me = worker()
const server = createServer((request, response) => {
  sleep(request.url === '/long' ? 300 : 2).then(
    () => response.end(`${me?.name ?? ''} ${process.pid}`),
    (error: unknown) => {
      response.destroy(error as Error)
    }
  )
})
server.listen(0, '127.0.0.1', () => {
  me?.send({ port: (server.address() as AddressInfo).port })
  me?.ready()
})
