import type { ChildProcess } from 'node:child_process'

/** The pipes of an exited process count as read after this many turns of the event loop without data. */
const QUIET_TURNS = 3

/**
 * The most characters that are read after the exit of a process. Pipes and sockets hold less, so all that it wrote is
 * among them. The rest is from another process on the same pipe.
 */
const MAX_CHARACTERS = 4 * 1024 * 1024

/**
 * Resolves when all that a process had written to its pipes, and sent on its channel, before its exit has been read.
 * Call it while its 'exit' is emitted: Node.js emits that although data may still be in the pipes.
 *
 * Pipes usually close with the process. A child that has inherited them may hold them open for long. By then the
 * output of the process is in the pipes, and each turn of the event loop reads them: after turns without data they
 * are empty. Later output of that child is still read, but does not keep the process of the supervisor alive.
 */
export function readToEnd(child: ChildProcess): Promise<void> {
  return new Promise(resolve => {
    const streams = [child.stdout, child.stderr].filter(stream => stream !== null)
    let [quiet, read] = [0, 0]
    const noteData = (text: Buffer | string): void => {
      quiet = 0
      read += text.length
    }
    const noteMessage = (): void => {
      quiet = 0
    }
    const check = (): void => {
      if (++quiet <= QUIET_TURNS && read <= MAX_CHARACTERS) {
        turn = setImmediate(check)
        return
      }
      // Node.js types them as streams, but they are sockets.
      for (const stream of streams) (stream as typeof stream & { unref?(): void }).unref?.()
      done()
    }
    const done = (): void => {
      clearImmediate(turn)
      child.removeListener('close', done)
      child.removeListener('message', noteMessage)
      for (const stream of streams) stream.removeListener('data', noteData)
      resolve()
    }
    let turn = setImmediate(check)
    child.once('close', done)
    child.on('message', noteMessage)
    for (const stream of streams) stream.on('data', noteData)
  })
}
