import { once } from 'node:events'
import { createServer, get } from 'node:https'
import type { AddressInfo } from 'node:net'
import { leavePort } from '../../lib/supervisor/worker/port-closer'
import { assume } from '../support/assume'
import { using } from '../support/dispose'
import { tls } from '../support/tls'
import { deadline } from '../support/wait'

describe('leavePort', () => {
  it('ends what is left on an HTTPS server, too', async () => {
    const server = createServer(tls, (_req, res) => {
      res.write('begun')
    }).listen(0, '127.0.0.1')
    using(() => server.close())
    await once(server, 'listening')
    const asked = get({
      port: (server.address() as AddressInfo).port,
      host: '127.0.0.1',
      ca: tls.cert,
      servername: 'localhost'
    })
    const ended = new Promise(resolve =>
      asked.on('response', res => {
        res.on('error', resolve).resume()
      })
    )
    await once(asked, 'response')
    await leavePort(server, 10)
    await deadline(ended, 5000, 'the end of the connection')
  })

  it('ignores values that are no server, and servers that do not listen', async () => {
    const left = Promise.all([null, createServer(tls)].map(what => leavePort(what, 60_000)))
    assume((await deadline(left, 5000, '`leavePort`')).length).equals(2)
  })
})
