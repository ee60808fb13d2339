import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Server, type ServerResponse } from 'node:http'
import { Server as SecureServer } from 'node:https'
import { Server as NetServer } from 'node:net'
import { delay } from '../../common/async'

/** How long a connection may stay idle after an answer that kept it open, in ms. */
const IDLE_LIMIT = 1000

/**
 * From now on each answer to an HTTP request of this process closes its connection, so that the client reconnects and
 * gets another worker. Closing idle connections instead would fail requests that are on their way.
 *
 * @returns a function that undoes it
 */
export function endWithAnswer(): () => void {
  const onRequest = (message: unknown): void => {
    ;(message as { response: ServerResponse }).response.shouldKeepAlive = false
  }
  // The header of an answer that had begun promised to keep the connection open.
  const onAnswer = (message: unknown): void => {
    const { server } = message as { server: Server }
    if (server.keepAliveTimeout === 0 || server.keepAliveTimeout > IDLE_LIMIT) server.keepAliveTimeout = IDLE_LIMIT
  }
  subscribe('http.server.request.start', onRequest)
  subscribe('http.server.response.finish', onAnswer)
  return () => {
    unsubscribe('http.server.request.start', onRequest)
    unsubscribe('http.server.response.finish', onAnswer)
  }
}

/**
 * Stops accepting connections; open ones stay. Resolves when the last one has ended. After `ms` milliseconds the
 * remaining ones are closed.
 */
export async function leavePort(server: unknown, ms: number): Promise<void> {
  if (!(server instanceof NetServer)) return
  const ended = new AbortController()
  // `close` of an HTTP server would close idle connections too, and fail requests that are on their way on them.
  NetServer.prototype.close.call(server, () => {
    ended.abort()
  })
  await delay(ms, ended.signal)
  if (!ended.signal.aborted && (server instanceof Server || server instanceof SecureServer))
    server.closeAllConnections()
}

/** The HTTP servers of this process that have accepted a connection. */
const visited = new Set<Server | SecureServer>()

/** From now on records the HTTP servers that accept connections, for `leavePorts`. */
export function watchPorts(): void {
  subscribe('net.server.socket', message => {
    const { server } = (message as { socket: { server?: unknown } }).socket
    if (!(server instanceof Server || server instanceof SecureServer) || visited.has(server)) return
    visited.add(server)
    server.once('close', () => {
      visited.delete(server)
    })
  })
}

/**
 * Stops all recorded HTTP servers from accepting connections. An open connection stays until its next answer, see
 * `endWithAnswer`, or until the keep-alive timeout of its server, which clients know. After `idle` milliseconds idle
 * connections are closed, and after `all` milliseconds all: an answer may never end.
 *
 * Resolves when the last connection has ended.
 */
export async function leavePorts(idle: number, all: number): Promise<void> {
  await Promise.all(
    [...visited]
      .filter(({ listening }) => listening)
      .map(
        server =>
          new Promise<void>(resolve => {
            const timers = [
              setTimeout(() => {
                server.closeIdleConnections()
              }, idle).unref(),
              setTimeout(() => {
                server.closeAllConnections()
              }, all).unref()
            ]
            NetServer.prototype.close.call(server, () => {
              for (const timer of timers) clearTimeout(timer)
              resolve()
            })
          })
      )
  )
}
