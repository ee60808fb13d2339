import type { Redis } from 'ioredis'
import { RedisUnusable } from './refusal'

/**
 * Watches the connections of a client for a Redis that answers each of them with an error, and hangs up.
 *
 * The answer is read here, because ioredis gives it to its first command, whose failure it may ignore. It takes the
 * words of protected mode, 'no password is set', for those of a Redis that needs no password, and goes on. Then a
 * broken pipe is all that it reports.
 *
 * @param turnedAway called with the first sentence of Redis: what follows is advice, which `refusalOf` replaces
 */
export function watchTurnedAway(client: Redis, turnedAway: (error: Error) => void): void {
  client.on('connect', () => {
    client.stream.prependOnceListener('data', (data: Buffer) => {
      const [, words] = /^-(DENIED .*?|ERR max number of clients.*?)(\. |\r\n|$)/.exec(data.toString()) ?? []
      if (words !== undefined) turnedAway(new RedisUnusable(`Redis refused the connection: ${words}`))
    })
  })
}
