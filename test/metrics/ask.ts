import { createServer, request, type IncomingHttpHeaders, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { using } from '../support/dispose'
import { once } from '../support/wait'

/** What was answered. */
export interface Answered {
  readonly status: number | undefined
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** Asks a handler, as a scraper would. */
export async function ask(handler: RequestListener, method = 'GET', headers = {}): Promise<Answered> {
  const server = createServer(handler).listen(0, '127.0.0.1')
  using(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return new Promise((resolve, reject) => {
    request({ port, host: '127.0.0.1', method, headers, agent: false }, response => {
      let body = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        body += chunk
      })
      response.on('end', () => {
        resolve({ status: response.statusCode, headers: response.headers, body })
      })
    })
      .on('error', reject)
      .end()
  })
}
