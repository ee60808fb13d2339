import type { Writable } from 'node:stream'
import { ignore } from '../common/callback'
import { now } from '../common/async'

/**
 * Resolves when the system has taken all that this process wrote to its standard output and error. Node.js writes to
 * pipes asynchronously, and `process.exit` would drop the rest.
 *
 * It stops waiting for a stream whose reader has taken nothing for `ms` milliseconds, or has gone.
 */
export async function flush(ms: number): Promise<void> {
  await Promise.all([process.stdout, process.stderr].map(stream => flushStream(stream, ms)))
}

function flushStream(stream: Writable, ms: number): Promise<void> {
  if (!stream.writable || stream.writableLength === 0) return Promise.resolve()
  return new Promise(resolve => {
    // The reader has gone. The output is lost, and this process is about to exit.
    stream.on('error', ignore)
    let [last, takenAt] = [remaining(stream), now()]
    const timer = setInterval(
      () => {
        const left = remaining(stream)
        if (left !== last) [last, takenAt] = [left, now()]
        else if (now() - takenAt >= ms) done()
      },
      Math.min(100, Math.max(1, ms))
    ).unref()
    const done = (): void => {
      clearInterval(timer)
      resolve()
    }
    stream.write('', done)
  })
}

/**
 * How much the system has not taken yet. The unit is arbitrary; the number also falls while a large chunk is being
 * written.
 */
function remaining(stream: Writable): number {
  const { _handle: handle } = stream as { _handle?: { writeQueueSize?: number } | null }
  return stream.writableLength + (handle?.writeQueueSize ?? 0)
}
