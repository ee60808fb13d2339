import { createServer, connect, type AddressInfo, type Socket } from 'node:net'
import { assume } from './assume'
import { using } from './dispose'
import { startProxy, type TcpProxy } from './proxy'
import { rejection } from './rejection'
import { deadline, elapsed, eventually, once } from './wait'

/** A server that answers `x` with `<x>`, and a proxy before it. */
async function network(): Promise<{ proxy: TcpProxy; heard: string[]; dial: () => Promise<Socket> }> {
  const heard: string[] = []
  const peers = new Set<Socket>()
  const server = createServer(peer => {
    peers.add(peer.on('error', () => undefined))
    peer.on('data', chunk => {
      heard.push(chunk.toString())
      peer.write(`<${chunk.toString()}>`)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  using(() => {
    for (const peer of peers) peer.destroy()
    server.close()
  })
  const proxy = await startProxy({ port: (server.address() as AddressInfo).port })
  const dial = async (): Promise<Socket> => {
    const socket = connect(proxy.port, '127.0.0.1').setEncoding('utf8')
    using(() => socket.destroy())
    await once(socket, 'connect')
    return socket
  }
  return { proxy, heard, dial }
}

async function ask(socket: Socket, question: string, within = 2000): Promise<string> {
  const answer = once(socket, 'data', { within })
  socket.write(question)
  return String((await answer)[0])
}

describe('support: a network that fails', () => {
  it('passes on what is said, both ways', async () => {
    const { proxy, dial } = await network()
    assume(await ask(await dial(), 'hello')).equals('<hello>')
    assume(proxy.connections).equals(1)
  })

  it('cuts all connections', async () => {
    const { proxy, dial } = await network()
    const sockets = [await dial(), await dial()]
    await eventually(() => proxy.connections === 2)
    const closed = Promise.all(
      sockets.map(socket =>
        once(
          socket.on('error', () => undefined),
          'close'
        )
      )
    )
    proxy.cut()
    await closed
    assume(proxy.connections).equals(0)
  })

  it('freezes: nothing is heard, nothing closes, until it thaws', async () => {
    const { proxy, heard, dial } = await network()
    const socket = await dial()
    await ask(socket, 'before')
    proxy.freeze()
    await rejection(ask(socket, 'frozen', 100))
    assume(heard).deep.equals(['before'])
    const answer = once(socket, 'data')
    proxy.thaw()
    assume(await answer).deep.equals(['<frozen>'])
  })

  it('does not let the end of a connection through while frozen', async () => {
    const { proxy, dial } = await network()
    const socket = await dial()
    await ask(socket, 'x')
    proxy.freeze()
    socket.destroy()
    await rejection(eventually(() => proxy.connections === 0, { within: 50 }))
    proxy.thaw()
    await eventually(() => proxy.connections === 0)
  })

  it('freezes only the answers', async () => {
    const { proxy, heard, dial } = await network()
    const socket = await dial()
    proxy.freezeReplies()
    await rejection(ask(socket, 'question', 100))
    assume(heard).deep.equals(['question'])
  })

  it('delays each way, and nothing overtakes anything', async () => {
    const { proxy, dial } = await network()
    const socket = await dial()
    await ask(socket, 'x')
    proxy.delay(50)
    const { ms } = await elapsed(() => ask(socket, 'slow'))
    assume(ms).is.above(95)
    const first = once(socket, 'data')
    socket.write('a')
    await deadline(new Promise(resolve => setImmediate(resolve)), 1000, 'a turn')
    proxy.delay(0)
    socket.write('b')
    assume(String((await first)[0])[1]).equals('a')
  })

  it('refuses connections, and accepts them again on the same port', async () => {
    const { proxy, dial } = await network()
    const old = await dial()
    await ask(old, 'x')
    await proxy.refuse()
    const refused = connect(proxy.port, '127.0.0.1')
    const [error] = (await once(refused, 'error')) as [NodeJS.ErrnoException]
    assume(error.code).equals('ECONNREFUSED')
    assume(await ask(old, 'still here')).equals('<still here>')
    await proxy.accept()
    assume(await ask(await dial(), 'back')).equals('<back>')
  })

  it('loses one answer: that connection is mute, others are not', async () => {
    const { proxy, heard, dial } = await network()
    const socket = await dial()
    proxy.dropNextReply()
    await rejection(ask(socket, 'lost', 100))
    assume(heard).deep.equals(['lost'])
    assume(await ask(await dial(), 'other')).equals('<other>')
  })

  it('loses one answer together with its connection', async () => {
    const { proxy, heard, dial } = await network()
    const socket = (await dial()).on('error', () => undefined)
    proxy.dropNextReply({ cut: true })
    const closed = once(socket, 'close')
    socket.write('lost')
    await closed
    assume(heard).deep.equals(['lost'])
  })

  it('loses the answer to a certain request together with its connection, and no other', async () => {
    const { proxy, heard, dial } = await network()
    const socket = (await dial()).on('error', () => undefined)
    proxy.dropReplyTo('cert')
    assume(await ask(socket, 'other')).equals('<other>')
    const closed = once(socket, 'close')
    socket.write('certain')
    await closed
    assume(heard).deep.equals(['other', 'certain'])
    assume(await ask(await dial(), 'certain')).equals('<certain>')
  })

  it('passes on that a target is not there', async () => {
    const gone = await startProxy({ port: 1 })
    const socket = connect(gone.port, '127.0.0.1').on('error', () => undefined)
    await once(socket, 'close')
    await eventually(() => gone.connections === 0)
  })
})
