import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createSecureServer } from 'node:http2'
import { createServer as createHttpsServer } from 'node:https'
import type { NetworkInterfaceInfo } from 'node:os'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Server } from 'node:net'
import { interfaceOf, onUnixSocket, parse, reachable } from '../lib/common/address'
import { assume } from './support/assume'
import { using } from './support/dispose'
import { tls } from './support/tls'

async function listening(server: Server, ...where: [port: number, host?: string] | [path: string]): Promise<Server> {
  using(() => new Promise(resolve => server.close(resolve)))
  if (typeof where[0] === 'string') server.listen(where[0])
  else server.listen(where[0], where[1])
  await once(server, 'listening')
  return server
}

function port(server: Server): number {
  return (server.address() as { port: number }).port
}

function face(address: string, family: 'IPv4' | 'IPv6', internal = false): NetworkInterfaceInfo {
  return {
    address,
    family,
    internal,
    netmask: '',
    mac: '',
    cidr: null,
    ...(family === 'IPv6' && { scopeid: 0 })
  } as NetworkInterfaceInfo
}

describe('the address of a server', () => {
  let folder: string

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'metroplex-socket-'))
  })

  after(() => rm(folder, { recursive: true }))

  it('is a string as it is given', () => {
    assume(parse('http://10.0.0.5:1')).equals('http://10.0.0.5:1')
  })

  it('is empty without a server, for a server that does not listen, and for a value that is no server', () => {
    for (const none of [undefined, null, '', createServer(), {}, 42]) assume(parse(none)).equals('')
  })

  it('is read off an http server', async () => {
    const server = await listening(createServer(), 0, '127.0.0.1')
    assume(parse(server)).equals(`http://127.0.0.1:${port(server)}`)
  })

  it('is https for TLS', async () => {
    const server = await listening(createHttpsServer(tls), 0, '127.0.0.1')
    assume(parse(server)).equals(`https://127.0.0.1:${port(server)}`)
  })

  it('is https for http2 over TLS, which is no https.Server', async () => {
    const server = await listening(createSecureServer(tls), 0, '127.0.0.1')
    assume(parse(server)).equals(`https://127.0.0.1:${port(server)}`)
  })

  it('has brackets around IPv6', async () => {
    const server = await listening(createServer(), 0, '::1')
    assume(parse(server)).equals(`http://[::1]:${port(server)}`)
  })

  for (const host of ['0.0.0.0', '::']) {
    it(`is one that others can reach for a server on ${host}`, async () => {
      const server = await listening(createServer(), 0, host)
      const found = new URL(parse(server)).hostname
      assume(['0.0.0.0', '[::]']).does.not.include(found)
    })
  }

  it('is none on a unix socket, which is told apart', async () => {
    const server = await listening(createServer(), join(folder, 'socket'))
    assume(parse(server)).equals('')
    assume(onUnixSocket(server)).true()
    assume(onUnixSocket(createServer())).false()
  })

  it('is the first that is not internal', () => {
    assume(reachable({ lo: [face('127.0.0.1', 'IPv4', true)], eth0: [face('10.0.0.5', 'IPv4')] })).equals('10.0.0.5')
  })

  it('prefers IPv4, and what means the same on every machine', () => {
    assume(reachable({ a: [face('2001:db8::1', 'IPv6')], b: [face('10.0.0.5', 'IPv4')] })).equals('10.0.0.5')
    assume(
      reachable({ a: [face('169.254.1.1', 'IPv4'), face('fe80::1', 'IPv6')], b: [face('2001:db8::1', 'IPv6')] })
    ).equals('2001:db8::1')
  })

  it('leads to the interface that has its IP, and otherwise to the first that others reach', () => {
    const faces = {
      lo: [face('127.0.0.1', 'IPv4', true)],
      eth0: [face('10.0.0.5', 'IPv4')],
      eth1: [face('192.168.0.7', 'IPv4'), face('2001:db8::1', 'IPv6')]
    }
    assume(interfaceOf('http://192.168.0.7:80', faces)).equals('192.168.0.7')
    assume(interfaceOf('http://127.0.0.1', faces)).equals('127.0.0.1')
    assume(interfaceOf('https://[2001:db8::1]:8080', faces)).equals('2001:db8::1')
    for (const other of ['', 'http://203.0.113.9:32001', 'http://chat.example.com'])
      assume(interfaceOf(other, faces)).equals('10.0.0.5')
  })

  it('is this machine alone when there is no other', () => {
    assume(reachable({ lo: [face('127.0.0.1', 'IPv4', true)], gone: undefined })).equals('127.0.0.1')
  })

  it('is one where a private listener can listen: no link-local address without its link', () => {
    const offline = { lo: [face('127.0.0.1', 'IPv4', true)], awdl0: [face('fe80::1', 'IPv6')] }
    assume(interfaceOf('', offline)).equals('127.0.0.1')
    assume(
      interfaceOf('http://10.0.0.5:80', { ...offline, eth0: [face('10.0.0.4', 'IPv4'), face('10.0.0.5', 'IPv4')] })
    ).equals('10.0.0.5')
    assume(interfaceOf('http://name:80', { ...offline, eth0: [face('10.0.0.4', 'IPv4')] })).equals('10.0.0.4')
  })
})
