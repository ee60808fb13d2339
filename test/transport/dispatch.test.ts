import type { Recipients } from '../../lib/common/peer-sender'
import { now } from '../../lib/common/async'
import { MetroplexError } from '../../lib/common/errors'
import { Message } from '../../lib/common/encoded-message'
import { Parser, type Encode } from '../../lib/common/parser'
import { WireSender, type Card, type PeerDirectory } from '../../lib/transport/wire-sender'
import type { Outgoing } from '../../lib/transport/envelope'
import type { PeerLinks } from '../../lib/transport/peer-links'
import type { OmegaSender } from '../../lib/transport/omega/sender'
import { assume } from '../support/assume'
import { rejection } from '../support/rejection'

const ADDRESS = 'http://10.0.0.5:8080'
const message = Message.of('hi', false)
/** A parser that makes bytes. */
const asJson: Encode = (data, fn) => {
  fn(null, Buffer.from(`!${JSON.stringify(data)}`))
}
const fromJson: Encode = (packet, fn) => {
  fn(null, JSON.parse(String(packet).slice(1)))
}
const never = new Promise<never>(() => undefined)

/** A dispatch to a server that answers like one of 1.x, and what was sent to it on the wire of that. */
function stage(directory: Partial<PeerDirectory>): { dispatch: WireSender; sent: Recipients[] } {
  const sent: Recipients[] = []
  const messenger = {
    name: 'http',
    send: () => Promise.reject(new MetroplexError('EPROTOCOL', 'What?', { maybe: false }))
  } as unknown as PeerLinks
  const omega = {
    send: (_address: string, _message: Message, recipients: Recipients) => {
      sent.push(recipients)
      return Promise.resolve({ send: 1 })
    }
  } as unknown as OmegaSender
  const card = { transport: 'http', protocol: '2', pathname: '/primus', word: 'word-of-it-12', kinds: 'some all end' }
  const dispatch = new WireSender(
    messenger,
    () => omega,
    () => false,
    {
      find: () => card,
      addressOf: () => '',
      refreshPeers: () => Promise.resolve(),
      superseded: () => Promise.resolve(true),
      ...directory
    }
  )
  return { dispatch, sent }
}

describe('a message of a kind that an earlier release does not take', () => {
  /** A dispatch to a server that says this of the kinds it takes, each time it is asked, and what was sent there. */
  const facing = (...said: string[]): { dispatch: WireSender; sent: string[] } => {
    const sent: string[] = []
    const messenger = {
      name: 'http',
      send: (_address: string, _card: Card, { entry }: Outgoing) => {
        sent.push(entry)
        return Promise.resolve(1)
      }
    } as unknown as PeerLinks
    const find = (): Card => ({
      transport: 'http',
      protocol: '2',
      pathname: '/primus',
      word: 'word-of-it-12',
      kinds: said[0] ?? ''
    })
    const look = (): Promise<unknown> => Promise.resolve(said.shift())
    return {
      sent,
      dispatch: new WireSender(
        messenger,
        () => undefined,
        () => false,
        { find, addressOf: () => '', refreshPeers: look, superseded: () => Promise.resolve(false) }
      )
    }
  }

  it('fails, and is not sent to spoil what travels with it', async () => {
    const { dispatch, sent } = facing('', '')
    const attempts = [
      dispatch.sendKind(ADDRESS, 'ask', [], message, now() + 1000),
      dispatch.send(ADDRESS, Message.ending(false), { sparks: ['a'] }, now() + 1000)
    ]
    for (const attempt of attempts) {
      const error = (await rejection(attempt)) as { code?: string; maybe?: boolean }
      assume([error.code, error.maybe]).eql(['EPROTOCOL', false])
    }
    assume(await dispatch.send(ADDRESS, message, { sparks: ['a'] }, now() + 1000)).eql({ send: 1, missing: [] })
    assume(sent).eql(['["some",["a"]]'])
  })

  it('is sent as soon as another release is found there', async () => {
    const { dispatch, sent } = facing('', 'some all ask')
    await dispatch.sendKind(ADDRESS, 'ask', [], message, now() + 1000)
    assume(sent).eql(['["ask",[]]'])
  })
})

describe('a message that a parser made', () => {
  const parser = Parser.of('msgpack', { encoder: asJson, decoder: fromJson })
  /** What is sent to a server that takes these kinds. */
  const sent = async (kinds: string, recipients: Recipients): Promise<Outgoing | undefined> => {
    const all: Outgoing[] = []
    const messenger = {
      name: 'http',
      send: (_address: string, _card: Card, out: Outgoing) => {
        all.push(out)
        return Promise.resolve(1)
      }
    } as unknown as PeerLinks
    const find = (): Card => ({ transport: 'http', protocol: '2', pathname: '/primus', word: 'word-of-it-12', kinds })
    const directory = {
      find,
      addressOf: () => '',
      refreshPeers: () => Promise.resolve(),
      superseded: () => Promise.resolve(false)
    }
    await new WireSender(
      messenger,
      () => undefined,
      () => false,
      directory
    ).send(ADDRESS, parser.message({ n: 1 }), recipients, now() + 1000)
    return all[0]
  }

  it('goes as its packet to a server that has the parser', async () => {
    const kinds = 'some all end some/msgpack all/msgpack'
    for (const [recipients, entry] of [
      [{ sparks: ['a'] }, '["some/msgpack",["a"],[[[],8]]]'],
      [{ except: ['b'] }, '["all/msgpack",["b"],[[[],8]]]']
    ] as const) {
      const out = await sent(kinds, recipients)
      assume([out?.entry, out?.text, String(out?.blobs[0]?.bytes)]).eql([entry, 'null', '!{"n":1}'])
    }
  })

  it('goes as JSON to an earlier release, and to a server that has another parser', async () => {
    for (const kinds of ['', 'some all end', 'some all some/custom-abc all/custom-abc']) {
      const out = await sent(kinds, { sparks: ['a'] })
      assume([out?.entry, out?.text, out?.blobs.length]).eql(['["some",["a"]]', '{"n":1}', 0])
    }
  })
})

describe('a message for a server that may run 1.x by now', () => {
  it('goes by the wire of that', async () => {
    const { dispatch, sent } = stage({})
    assume(await dispatch.send(ADDRESS, message, { sparks: ['a'] }, now() + 1000)).eql({ send: 1 })
    assume(sent).eql([{ sparks: ['a'] }])
  })

  it('is not sent with an exception, which 1.x does not know', async () => {
    for (const directory of [{}, { find: () => undefined }]) {
      const { dispatch, sent } = stage(directory)
      const error = (await rejection(dispatch.send(ADDRESS, message, { except: ['a'] }, now() + 1000))) as {
        code?: string
        maybe?: boolean
      }
      assume([error.code, error.maybe]).eql(['EPROTOCOL', false])
      assume(sent).eql([])
    }
  })

  it('does not wait for the registry beyond its deadline', async () => {
    for (const directory of [{ superseded: () => never }, { find: () => undefined, look: () => never }]) {
      const { dispatch } = stage(directory)
      const began = now()
      await dispatch.send(ADDRESS, message, {}, now() + 100).catch(() => undefined)
      assume(now() - began < 1000).equals(true)
    }
  })
})
