import { once } from 'node:events'
import { Agent, createServer, request, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { adopt, type Scope } from './dispose'

/** What a gateway does with upgrades and requests. All of it may be changed while it runs. */
export interface Behaviour {
  /** The port behind it. */
  port: number
  /**
   * What it does with an upgrade: pass it on; answer it with a status; never answer it; answer it with 101, and then
   * end the connection, say nothing,
   * or speak HTTP on. @default 'pass'
   */
  upgrades: 'pass' | number | 'silent' | '101 and end' | '101 and silent' | '101 and HTTP'
  /** How many bytes of the asker an upgraded connection carries before it is cut. @default Infinity */
  carries: number
  /**
   * What it does with any other request: pass it on; never answer it; answer it with a status and a page.
   *
   * @default 'pass'
   */
  requests: 'pass' | 'silent' | number
  /** The version of HTTP that it speaks. A gateway of 1.0 passes no upgrades. @default '1.1' */
  version: '1.0' | '1.1'
}

/** Such a gateway. */
export interface Gateway {
  readonly port: number
  readonly url: string
  readonly behaviour: Behaviour
  /** How many upgrades, and how many other requests, have come. */
  readonly seen: { upgrades: number; requests: number }
  /** Ends all connections. New ones are welcome. */
  cut(): void
  stop(): Promise<void>
}

/**
 * Starts a reverse proxy on 127.0.0.1 that passes upgrades on, until it is told to behave otherwise.
 *
 * Inside a test it stops by itself when the test ends.
 */
export async function startGateway(behaviour: Partial<Behaviour> = {}, scope?: Scope): Promise<Gateway> {
  const current: Behaviour = {
    port: 0,
    upgrades: 'pass',
    carries: Infinity,
    requests: 'pass',
    version: '1.1',
    ...behaviour
  }
  const seen = { upgrades: 0, requests: 0 }
  const sockets = new Set<Socket>()
  const agent = new Agent({ keepAlive: true })
  const kept = (socket: Socket): Socket => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.once('close', () => sockets.delete(socket))
    return socket
  }

  const server = createServer((req, res) => {
    seen.requests++
    if (typeof current.requests === 'number') refuse(res, current.requests)
    else if (current.requests === 'silent') req.resume()
    else if (current.version === '1.0') passOld(req, kept(connect(current.port, '127.0.0.1')))
    else pass(req, res, current.port, agent)
  })
  server.on('connection', kept)
  server.on('upgrade', (req: IncomingMessage, socket: Socket, head: Buffer) => {
    seen.upgrades++
    const { upgrades, version } = current
    if (version === '1.0') passOld(req, kept(connect(current.port, '127.0.0.1')))
    else if (upgrades === 'pass') tunnel(req, socket, head, kept(connect(current.port, '127.0.0.1')), current)
    else answer(socket, upgrades)
  })
  const stop = async (): Promise<void> => {
    agent.destroy()
    for (const socket of sockets) socket.destroy()
    if (!server.listening) return
    const closed = once(server, 'close')
    server.close()
    await closed
  }
  adopt(stop, scope)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const cut = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  return { port, url: `http://127.0.0.1:${port}`, behaviour: current, seen, cut, stop }
}

function refuse(res: ServerResponse, status: number): void {
  const location = status >= 300 && status < 400 ? { location: 'https://login.example/' } : {}
  const headers = { 'content-type': 'text/html', server: 'a gateway', ...location }
  res.writeHead(status, headers).end(`<h1>Status ${status}</h1>`)
}

function answer(socket: Socket, how: Exclude<Behaviour['upgrades'], 'pass'>): void {
  if (how === 'silent') return
  if (typeof how === 'number') {
    const head = `HTTP/1.1 ${how} No\r\ncontent-type: text/html\r\ncontent-length: 10\r\nconnection: close`
    socket.end(`${head}\r\n\r\n<p>No.</p>`)
    return
  }
  socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: metroplex\r\n\r\n')
  if (how === '101 and end') socket.end()
  if (how === '101 and HTTP') socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n')
}

function pass(req: IncomingMessage, res: ServerResponse, port: number, agent: Agent): void {
  const headers = { ...req.headers }
  for (const hop of ['host', 'connection', 'upgrade']) Reflect.deleteProperty(headers, hop)
  const target = request({ port, host: '127.0.0.1', method: req.method, path: req.url, headers, agent }, response => {
    res.writeHead(response.statusCode ?? 502, response.headers)
    response.pipe(res)
  })
  target.on('error', () => {
    if (res.headersSent) res.destroy()
    else refuse(res, 502)
  })
  res.on('close', () => {
    if (!res.writableFinished) target.destroy()
  })
  req.on('error', () => target.destroy())
  req.pipe(target)
}

/** By HTTP/1.0 on both sides: one request on each connection, and no upgrade. */
function passOld(req: IncomingMessage, target: Socket): void {
  const { socket } = req
  target.write(`${headOf(req, 'HTTP/1.0', ['connection', 'upgrade', 'transfer-encoding'])}\r\n\r\n`)
  req.on('data', (chunk: Buffer) => target.write(chunk))
  let first = true
  target.on('data', (chunk: Buffer) => {
    socket.write(first ? Buffer.from(chunk.toString('latin1').replace(/^HTTP\/1\.1/, 'HTTP/1.0'), 'latin1') : chunk)
    first = false
  })
  target.on('end', () => socket.end())
  target.on('error', () => socket.destroy())
}

/** Passes an upgrade on, with all that follows, until the asker has sent too much. */
function tunnel(req: IncomingMessage, socket: Socket, head: Buffer, target: Socket, behaviour: Behaviour): void {
  let carried = head.length
  target.write(`${headOf(req, 'HTTP/1.1', [])}\r\n\r\n`)
  target.write(head)
  socket.on('data', (chunk: Buffer) => {
    carried += chunk.length
    if (carried <= behaviour.carries) {
      target.write(chunk)
      return
    }
    socket.destroy()
    target.destroy()
  })
  target.pipe(socket)
  socket.on('end', () => target.end())
  target.on('close', () => socket.destroy())
  socket.on('close', () => target.destroy())
}

function headOf(req: IncomingMessage, version: string, without: readonly string[]): string {
  const kept = Object.entries(req.headers).filter(([name]) => !without.includes(name))
  const lines = kept.map(([name, value]) => `${name}: ${String(value)}`)
  return [`${req.method} ${req.url} ${version}`, ...lines].join('\r\n')
}
