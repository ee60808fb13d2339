import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Server, type ServerResponse } from 'node:http'
import { Server as SecureServer } from 'node:https'
import { Server as NetServer } from 'node:net'
import { pause } from '../deadline'

/** For how long a connection may be idle that has been told that it stays, in ms. */
const STAYS = 1000

/**
 * From now on the answer to each HTTP request that comes to this process says that its connection ends with it, so that those who ask come back on a new one, to
 * somebody else. What just closed idle connections would fail requests that are on their way on them.
 *
 * @returns what ends that
 */
export function endWithAnswer(): () => void {
  const begun = (message: unknown): void => { (message as { response: ServerResponse }).response.shouldKeepAlive = false }
  // One that was being answered has been told that its connection stays.
  const answered = (message: unknown): void => {
    const { server } = message as { server: Server }
    if (server.keepAliveTimeout === 0 || server.keepAliveTimeout > STAYS) server.keepAliveTimeout = STAYS
  }
  subscribe('http.server.request.start', begun)
  subscribe('http.server.response.finish', answered)
  return () => {
    unsubscribe('http.server.request.start', begun)
    unsubscribe('http.server.response.finish', answered)
  }
}

/**
 * Take no new connections. Those that are there stay.
 *
 * Resolves when the last one of them has ended, or after `ms` milliseconds; then they are ended.
 */
export async function leavePort(server: unknown, ms: number): Promise<void> {
  if (!(server instanceof NetServer)) return
  const ended = new AbortController()
  // That of an HTTP server would close idle connections, and with them requests that are on their way.
  NetServer.prototype.close.call(server, () => { ended.abort() })
  await pause(ms, ended.signal)
  if (!ended.signal.aborted && (server instanceof Server || server instanceof SecureServer)) server.closeAllConnections()
}

/** The HTTP servers of this process that anybody has connected to. */
const visited = new Set<Server | SecureServer>()

/** From now on HTTP servers that somebody connects to are known to `leavePorts`. */
export function watchPorts(): void {
  subscribe('net.server.socket', message => {
    const { server } = (message as { socket: { server?: unknown } }).socket
    if (!(server instanceof Server || server instanceof SecureServer) || visited.has(server)) return
    visited.add(server)
    server.once('close', () => { visited.delete(server) })
  })
}

/**
 * Have all HTTP servers of this process that still listen take no new connections. Those that are there stay until their next answer, see `endWithAnswer`, or until they have been idle
 * for as long as their server allows, which those who ask know; when that takes more than `idle` milliseconds, idle ones are closed, and after `all` milliseconds all: an answer may never end.
 *
 * Resolves when the last one has ended.
 */
export async function leavePorts(idle: number, all: number): Promise<void> {
  await Promise.all([...visited].filter(({ listening }) => listening).map(server => new Promise<void>(resolve => {
    const timers = [setTimeout(() => { server.closeIdleConnections() }, idle).unref(), setTimeout(() => { server.closeAllConnections() }, all).unref()]
    NetServer.prototype.close.call(server, () => {
      for (const timer of timers) clearTimeout(timer)
      resolve()
    })
  })))
}
