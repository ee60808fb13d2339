import { deferred } from '../lib/common/async'
import { Forwarder, type UserLocator } from '../lib/delivery/forwarder'
import type { Here } from '../lib/delivery/local'
import type { UserPlace } from '../lib/common/types'
import { Parser } from '../lib/common/parser'
import { assume } from './support/assume'

const SELF = 'http://10.0.0.1:8080'
const NOTHING = { send: 0, missing: [] }

describe('what is sent to a user', () => {
  it('is not written after a later message to a spark that connected here during the lookup', async () => {
    const got: unknown[] = []
    const here: string[] = []
    const lookups: ReturnType<typeof deferred<UserPlace[]>>[] = []
    const local: Here = {
      some: (ids, message) => {
        for (let i = 0; i < ids.length; i++) got.push(message.value)
        return { send: ids.length, missing: [] }
      },
      all: () => NOTHING
    }
    const where: UserLocator = {
      self: SELF,
      forwarded: () => undefined,
      peers: () => Promise.resolve([]),
      knowsExcept: () => true,
      sparksOn: () => {
        throw new Error('there are no questions here')
      },
      ownOf: () => [...here],
      sparksOf: () => {
        const lookup = deferred<UserPlace[]>()
        lookups.push(lookup)
        return lookup.promise
      },
      recent: id => (here.includes(id) ? SELF : undefined),
      places: ids => Promise.resolve(ids.map(() => SELF))
    }
    const forwarder = new Forwarder(local, { send: () => Promise.resolve(NOTHING) }, where, {
      timeout: 5000,
      parser: Parser.of(undefined),
      room: { messages: 10, bytes: 1000 }
    })

    const first = forwarder.user('ann', 'first')
    here.push('spark')
    const second = forwarder.user('ann', 'second')
    for (const lookup of lookups) lookup.resolve([{ user: 'ann', spark: 'spark', address: SELF }])

    const results = await Promise.all([first, second])
    assume(got).eql(['second'])
    assume(results[0]).eql({ ok: false, send: 0, local: true, missing: ['ann'] })
    assume(results[1]).eql({ ok: true, send: 1, local: true })
  })
})
