import { once } from 'node:events'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { adopt } from './dispose'
import type { RedisProcess } from './redis'
import { deadline } from './wait'

const patience = 10_000

/** What a quoted argument escapes, other than by its code. */
const ESCAPED: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', a: '\x07', b: '\b' }

/**
 * Watches the commands that a Redis runs, by MONITOR, until the end of the test, or until the returned function is
 * called.
 *
 * It has a socket of its own. A busy Redis reports the first commands in one packet with its answer to MONITOR. ioredis
 * takes them for answers to commands that it has not sent, and fails with 'Command queue state error'.
 *
 * @param seen called with the name and the arguments of each command, and whether a script has run it
 *
 * @example
 * const stop = await watchCommands(redis, ([name, key]) => console.log(name, key))
 */
export async function watchCommands(
  redis: RedisProcess,
  seen: (command: string[], byScript: boolean) => void
): Promise<() => void> {
  const socket = connect(redis.port, '127.0.0.1').setEncoding('utf8')
  const stop = (): void => {
    socket.destroy()
  }
  adopt(stop)
  // A Redis that is killed ends the watch.
  socket.on('error', stop)
  const lines = createInterface({ input: socket })
  const accepted = once(lines, 'line')
  lines.on('line', line => {
    const [, from, command] = /^\+[\d.]+ \[\d+ ([^\]]*)\] (.*)$/.exec(line) ?? []
    if (command !== undefined) seen(argumentsOf(command), from === 'lua')
  })
  socket.write('MONITOR\r\n')
  const [answer] = (await deadline(accepted, patience, 'the answer to MONITOR')) as [string]
  if (answer !== '+OK') throw new Error(`MONITOR was refused: ${answer}`)
  return stop
}

function argumentsOf(command: string): string[] {
  return [...command.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, quoted = '']) =>
    quoted.replace(/\\(x[\da-f]{2}|.)/g, (_, code: string) =>
      code.length > 1 ? String.fromCharCode(parseInt(code.slice(1), 16)) : (ESCAPED[code] ?? code)
    )
  )
}
