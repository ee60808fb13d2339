import type { Result } from '../../index'
import { assume } from '../support/assume'
import { openClient, type Client } from '../support/client'
import { startGateway, type Gateway } from '../support/gateway'
import type { ServerProcess } from '../support/server'
import { SLACK, type Ground } from './ground'
import { BRIEF, MISLED, SLOW, UNNOTICED, UNREACHED, either } from './health'
import type { Row } from './row'

/** How many messages are sent, one after the other. */
const MANY = 100

/** How long an operation may take here, in ms. */
const TIMEOUT = 5000

/** Two servers, of which peers reach the second one through a gateway, and a client of that one. */
interface Scene {
  readonly a: ServerProcess
  readonly b: ServerProcess
  readonly gateway: Gateway
  readonly client: Client
}

async function scene(ground: Ground): Promise<Scene> {
  const options = { metroplex: { timeout: TIMEOUT } }
  const gateway = await startGateway()
  const b = await ground.start({ ...options, address: gateway.url }, { omega: false })
  gateway.behaviour.port = b.port
  const a = await ground.start(options, { omega: false })
  const client = await openClient(b.url)
  await ground.settled(a, b)
  return { a, b, gateway, client }
}

/**
 * Send numbers from 0 on, each after the result of the one before.
 *
 * @returns how many did well, and how long the longest took, in ms
 */
function sent(server: ServerProcess, id: string): Promise<{ well: number; longest: number }> {
  return server.run(
    async (primus, id: string, many: number) => {
      const { forward } = primus as unknown as {
        forward: { spark(id: string, msg: unknown): Promise<{ send: number }> }
      }
      let well = 0
      let longest = 0
      for (let n = 0; n < many; n++) {
        const began = performance.now()
        well += (await forward.spark(id, n)).send
        longest = Math.max(longest, performance.now() - began)
      }
      return { well, longest }
    },
    id,
    MANY
  )
}

/** That a client got each of them once, in order. */
async function arrived(client: Client): Promise<void> {
  assume(await client.count(MANY)).eql(Array.from({ length: MANY }, (_, n) => n))
}

export const detours: readonly Row[] = [
  {
    id: 'F54',
    fault: 'another upgrade listener of the HTTP server ends each stream right after its hello',
    promise: 'all messages arrive once and in order, as single requests; streams are retried later',
    measures: [
      { what: 'arrived', unit: 'messages', atLeast: MANY },
      { what: 'the slowest one took', unit: 'ms', atMost: TIMEOUT / 3 }
    ],
    health: [{ warnings: either(UNREACHED, SLOW), unless: BRIEF }],
    async provoke(ground) {
      const { a, b, gateway, client } = await scene(ground)
      await b.run(primus => {
        const server = primus.server as unknown as { on(event: string, listener: (...args: never[]) => void): void }
        server.on('upgrade', ({ headers }: { headers: { upgrade?: string } }, socket: { end(text: string): void }) => {
          if (headers.upgrade !== 'websocket') socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')
        })
      })
      // A notice may have opened a stream before.
      gateway.cut()
      const { well, longest } = await sent(a, client.id)
      await arrived(client)
      // Most of them came as single requests, after hellos on streams.
      assume(gateway.seen.upgrades).is.above(0)
      assume(gateway.seen.requests).is.above(MANY / 2)
      ground.sound(a, b)
      return [well, longest]
    }
  },
  {
    id: 'F55',
    fault: 'a layer of another plugin at index 0 answers everything with 401; later a proxy does',
    promise:
      'the layer blocks no peer; the answer of the proxy is `EPROTOCOL` at once, with its status, for every message',
    measures: [
      { what: 'arrived past the layer', unit: 'messages', atLeast: MANY },
      { what: 'failures with the status of the proxy', unit: '%', atLeast: 100 },
      { what: 'the slowest one took', unit: 'ms', atMost: SLACK }
    ],
    health: [
      { by: [0], reasons: MISLED, stays: true },
      { by: [1], warnings: UNREACHED, unless: UNNOTICED, stays: true }
    ],
    async provoke(ground) {
      const { a, b, gateway, client } = await scene(ground)
      await b.run(primus => {
        type Answer = {
          writeHead?(status: number, headers: object): { end(body: string): void }
          end(text: string): void
        }
        const layers = primus as unknown as { use(name: string, layer: unknown, options: object, level: number): void }
        layers.use(
          'session',
          ({ headers }: { headers: { upgrade?: string } }, res: Answer, next: () => void) => {
            const body = '{"code":"EAUTH","reason":"Log in."}'
            if (headers.upgrade === 'websocket') next()
            else if (res.writeHead) res.writeHead(401, { 'content-type': 'application/json' }).end(body)
            else
              res.end(
                `HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n` +
                  `\r\n${body}`
              )
          },
          {},
          0
        )
      })
      // A notice may have opened a stream before.
      gateway.cut()
      const { well } = await sent(a, client.id)
      await arrived(client)
      Object.assign(gateway.behaviour, { upgrades: 401, requests: 401 })
      gateway.cut()
      let named = 0
      let longest = 0
      for (let n = 0; n < 12; n++) {
        const began = performance.now()
        const { failed } = (await a.call('forward.spark', client.id, 'never')) as Result
        longest = Math.max(longest, performance.now() - began)
        if (failed?.[0]?.code === 'EPROTOCOL' && failed[0].status === 401) named++
      }
      assume(client.messages.length).equals(MANY)
      ground.sound(a, b)
      return [well, (100 * named) / 12, longest]
    }
  },
  {
    id: 'F56',
    fault: 'a gateway cuts each stream between servers in the middle of a large message',
    promise: 'each message arrives once and in order: large ones as single requests, small ones on a stream',
    measures: [
      { what: 'arrived', unit: 'messages', atLeast: 20 },
      { what: 'the slowest one took', unit: 'ms', atMost: TIMEOUT / 3 }
    ],
    health: [{ warnings: either(UNREACHED, SLOW), unless: BRIEF }],
    async provoke(ground) {
      const { a, b, gateway, client } = await scene(ground)
      gateway.behaviour.carries = 20_000
      let well = 0
      let longest = 0
      const expected: string[] = []
      for (let n = 0; n < 20; n++) {
        const message = `${n} ${'x'.repeat(n % 2 === 0 ? 10 : 100_000)}`
        expected.push(message)
        const began = performance.now()
        well += ((await a.call('forward.spark', client.id, message)) as Result).send
        longest = Math.max(longest, performance.now() - began)
      }
      assume(await client.count(20)).eql(expected)
      assume(gateway.seen.upgrades).is.above(0)
      assume(gateway.seen.requests).is.above(0)
      ground.sound(a, b)
      return [well, longest]
    }
  }
]
