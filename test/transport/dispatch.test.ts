import type { Whom } from '../../lib/courier'
import { now } from '../../lib/deadline'
import { MetroplexError } from '../../lib/errors'
import { Message } from '../../lib/message'
import { Dispatch, type Card, type Directory } from '../../lib/transport/dispatch'
import { outgoing, type Outgoing } from '../../lib/transport/envelope'
import type { Messenger } from '../../lib/transport/messenger'
import type { OmegaSender } from '../../lib/transport/omega/sender'
import { assume } from '../support/assume'
import { rejection } from '../support/rejection'

const ADDRESS = 'http://10.0.0.5:8080'
const message = Message.of('hi', false)
const never = new Promise<never>(() => undefined)

/** A dispatch to a server that answers like one of 1.x, and what was sent to it on the wire of that. */
function stage(directory: Partial<Directory>): { dispatch: Dispatch, sent: Whom[] } {
  const sent: Whom[] = []
  const messenger = { name: 'http', send: () => Promise.reject(new MetroplexError('EPROTOCOL', 'What?', { maybe: false })) } as unknown as Messenger
  const omega = { send: (_address: string, _message: Message, whom: Whom) => { sent.push(whom); return Promise.resolve({ send: 1 }) } } as unknown as OmegaSender
  const card = { transport: 'http', protocol: '2', pathname: '/primus', word: 'word-of-it-12', kinds: 'some all end' }
  const dispatch = new Dispatch(messenger, () => omega, () => false, {
    find: () => card, addressOf: () => '', look: () => Promise.resolve(), superseded: () => Promise.resolve(true), ...directory
  })
  return { dispatch, sent }
}

describe('a message of a kind that an earlier release does not take', () => {
  const outward = outgoing('ask', [], message)
  /** A dispatch to a server that says this of the kinds it takes, each time it is asked, and what was sent there. */
  const facing = (...said: string[]): { dispatch: Dispatch, sent: string[] } => {
    const sent: string[] = []
    const messenger = { name: 'http', send: (_address: string, _card: Card, { entry }: Outgoing) => { sent.push(entry); return Promise.resolve(1) } } as unknown as Messenger
    const find = (): Card => ({ transport: 'http', protocol: '2', pathname: '/primus', word: 'word-of-it-12', kinds: said[0] ?? '' })
    const look = (): Promise<unknown> => Promise.resolve(said.shift())
    return { sent, dispatch: new Dispatch(messenger, () => undefined, () => false, { find, addressOf: () => '', look, superseded: () => Promise.resolve(false) }) }
  }

  it('fails, and is not sent to spoil what travels with it', async () => {
    const { dispatch, sent } = facing('', '')
    const attempts = [dispatch.carry(ADDRESS, 'ask', outward, now() + 1000), dispatch.send(ADDRESS, Message.ending(false), { sparks: ['a'] }, now() + 1000)]
    for (const attempt of attempts) {
      const error = await rejection(attempt) as { code?: string, maybe?: boolean }
      assume([error.code, error.maybe]).eql(['EPROTOCOL', false])
    }
    assume(await dispatch.send(ADDRESS, message, { sparks: ['a'] }, now() + 1000)).eql({ send: 1, missing: [] })
    assume(sent).eql(['["some",["a"]]'])
  })

  it('is sent as soon as another release is found there', async () => {
    const { dispatch, sent } = facing('', 'some all ask')
    await dispatch.carry(ADDRESS, 'ask', outward, now() + 1000)
    assume(sent).eql(['["ask",[]]'])
  })
})

describe('a message for a server that may run 1.x by now', () => {
  it('goes by the wire of that', async () => {
    const { dispatch, sent } = stage({})
    assume(await dispatch.send(ADDRESS, message, { sparks: ['a'] }, now() + 1000)).eql({ send: 1 })
    assume(sent).eql([{ sparks: ['a'] }])
  })

  it('is not sent when somebody has to be left out, which 1.x does not know', async () => {
    for (const directory of [{}, { find: () => undefined }]) {
      const { dispatch, sent } = stage(directory)
      const error = await rejection(dispatch.send(ADDRESS, message, { except: ['a'] }, now() + 1000)) as { code?: string, maybe?: boolean }
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
