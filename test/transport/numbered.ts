import { now } from '../../lib/common/async'
import { ignore } from '../../lib/common/callback'
import { Message } from '../../lib/common/encoded-message'
import { outgoing, type Reply } from '../../lib/transport/envelope'
import { PeerLinks, type PeerLinksTerms } from '../../lib/transport/peer-links'
import type { LocalNode } from '../../lib/transport/receiving/inbox'
import type { ReceptionTransport } from '../../lib/transport/receiving/reception-contract'
import { assume } from '../support/assume'
import { using } from '../support/dispose'

const terms: PeerLinksTerms = {
  timeout: 5000,
  maxBody: 1_000_000,
  maxQueue: { messages: 1000, bytes: 1_000_000, total: 2_000_000 }
}
export const keyring = { secrets: ['a secret of the whole cluster'], refresh: () => Promise.resolve() }

/** A message to send: whether a caller waits for its result, and whether the next one leaves in a later turn. */
export interface Numbered {
  readonly urgent: boolean
  readonly apart: boolean
}

/** So many messages that no caller waits for, each in a turn of its own. */
export function lazy(count: number): Numbered[] {
  return Array<Numbered>(count).fill({ urgent: false, apart: true })
}

/** One end of a wire. It notes the numbers that it applies, and is closed when the test ends. */
export function end(transport: ReceptionTransport, local: LocalNode, done: number[] = []): PeerLinks {
  const links = new PeerLinks(transport, local, keyring, terms, {
    counted: () => undefined,
    returnPathLost: () => undefined,
    broken: () => undefined
  })
  using(() => links.close())
  links.handle('some', {
    check: () => undefined,
    apply: ({ message }) => {
      done.push(Number(message.value))
      return 1
    }
  })
  return links
}

/** Send numbers, from 0 on. Resolves with what became of each. */
export async function sendAll(
  links: PeerLinks,
  peer: { readonly address: string; readonly pathname: string; readonly word: string },
  messages: readonly Numbered[],
  first = 0
): Promise<PromiseSettledResult<Reply>[]> {
  const sent: Promise<Reply>[] = []
  for (const [i, { urgent, apart }] of messages.entries()) {
    const message = Message.of(first + i, false)
    message.urgency = { urgent }
    const reply = links.send(peer.address, peer, outgoing('some', ['id'], message), now() + terms.timeout)
    reply.catch(ignore)
    sent.push(reply)
    if (apart)
      await new Promise(resolve => {
        setImmediate(resolve)
      })
  }
  return Promise.allSettled(sent)
}

/** Each number was applied at most once, in order; and what was said of each is true. */
export function judge(done: readonly number[], ends: readonly PromiseSettledResult<Reply>[]): void {
  assume([...done]).eql([...new Set(done)].sort((a, b) => a - b))
  for (const [n, end] of ends.entries()) {
    if (end.status === 'fulfilled') assume(done).includes(n)
    else if ((end.reason as { maybe?: boolean }).maybe !== true) assume(done.includes(n)).equals(false)
  }
}
