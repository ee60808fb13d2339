import { fork } from 'node:child_process'
import { once as emitted } from 'node:events'
import { createServer, request, type IncomingMessage } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { join } from 'node:path'
import { withModules } from '../support/modules'
import { killAtExit } from '../support/orphans'
import { once } from '../support/wait'

const patience = 20_000

/** Four workers, and what can be done to them. */
export interface Workers {
  /** Replaces all of them, one after the other. */
  recycle(): Promise<void>
  /** Ends them. Rejects when one of them, or their supervisor, did not end well. */
  stop(): Promise<void>
}

/**
 * Starts four supervised workers. Resolves when all of them are ready.
 *
 * @param ports one that all share, or one for each
 */
export async function startWorkers(redis: string, namespace: string, ports: readonly number[]): Promise<Workers> {
  const child = fork(join(__dirname, 'primary.js'), [], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: { ...process.env, ...withModules(), REDIS: redis, NAMESPACE: namespace, PORTS: ports.join(',') }
  })
  killAtExit(child)
  let said = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  const ended = new Promise<number | null>(resolve => {
    child.once('exit', resolve)
  })
  const told = async (what: string): Promise<void> => {
    const died = ended.then(code => {
      throw new Error(`the supervisor ended with ${code}\n${said}`)
    })
    await Promise.race([once(child, 'message', { within: patience, filter: message => message === what }), died])
  }
  await told('ready')
  return {
    recycle: async () => {
      const recycled = told('recycled')
      child.send('recycle')
      await recycled
    },
    stop: async () => {
      if (child.connected) child.send('stop')
      const code = await ended
      if (code !== 0 || said !== '') throw new Error(`the supervisor ended with ${code}\n${said}`)
    }
  }
}

/** The part of the path of a SockJS request that tells its session: `SERVER/SESSION`. */
const SESSION = /^\/primus\/([^/]+\/[^/]+)\//

/**
 * A balancer in front of some ports, which leads all requests of a SockJS session to the same one, and all others to
 * any.
 */
export interface Balancer {
  readonly url: string
  close(): Promise<void>
}

/** Starts one. It knows nothing but paths, as `hash` of nginx. */
export async function startBalancer(ports: readonly number[]): Promise<Balancer> {
  let turn = 0
  const chosen = ({ url = '' }: IncomingMessage): number | undefined => {
    const [, session] = SESSION.exec(url) ?? []
    const sum = session === undefined ? turn++ : Buffer.from(session).reduce((sum, byte) => sum + byte, 0)
    return ports[sum % ports.length]
  }
  const server = createServer((req, res) => {
    const { method, url, headers } = req
    const onward = request(
      { host: '127.0.0.1', port: chosen(req), method, path: url, headers, agent: false },
      answer => {
        res.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(res)
        answer.on('error', () => res.destroy())
      }
    )
    onward.on('error', () => res.destroy())
    res.on('close', () => onward.destroy())
    req.pipe(onward)
  })
  const sockets = new Set<Socket>()
  server.on('connection', socket => {
    sockets.add(socket)
    socket.once('close', () => {
      sockets.delete(socket)
    })
  })
  server.listen(0, '127.0.0.1')
  await emitted(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      const closed = emitted(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    }
  }
}
