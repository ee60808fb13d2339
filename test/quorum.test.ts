import { MembershipMerger } from '../lib/shards/membership-merger'
import { assume } from './support/assume'

const [A, B] = ['http://10.0.0.1:80', 'http://10.0.0.1:81'] as const

describe('what is reported of a server in three registries', () => {
  let told: string[]
  let quorum: MembershipMerger

  beforeEach(() => {
    const note =
      (what: string) =>
      (address: string): void => {
        told.push(`${what} ${address}`)
      }
    told = []
    quorum = new MembershipMerger(3, {
      registered: note('registered'),
      unregistered: note('unregistered'),
      joined: note('joined'),
      left: note('left'),
      replaced: note('replaced')
    })
    for (const registry of [0, 1, 2]) quorum.enter(registry, A)
  })

  it('is one registration when the last one has it', () => {
    assume(told).eql([`registered ${A}`])
    assume(quorum.registered).equals(A)
  })

  for (const order of [
    [0, 1, 2],
    [2, 1, 0]
  ])
    it(`is a registration again after it lost its address in all, in the order ${order.join()}`, () => {
      for (const registry of [0, 1, 2]) quorum.lose(registry)
      assume(quorum.registered).equals('')
      for (const registry of order) quorum.enter(registry, A)
      assume(told).eql([`registered ${A}`, `registered ${A}`])
      assume(quorum.registered).equals(A)
    })

  it('is a registration again after it lost its address in one, and it keeps its address meanwhile', () => {
    quorum.lose(1)
    assume(quorum.registered).equals(A)
    quorum.enter(1, A)
    assume(told).eql([`registered ${A}`, `registered ${A}`])
  })

  it('is nothing when another life of it registers at its address', () => {
    quorum.enter(1, A)
    assume(told).eql([`registered ${A}`])
  })

  it('is one departure when the last one that had it has lost it', () => {
    quorum.lose(0)
    quorum.depart(0)
    quorum.depart(1)
    assume(told).eql([`registered ${A}`])
    quorum.depart(2)
    assume(told).eql([`registered ${A}`, `unregistered ${A}`])
  })

  it('is a departure and a registration when it moves to another address', () => {
    for (const registry of [0, 1, 2]) {
      quorum.depart(registry)
      quorum.enter(registry, B)
    }
    assume(told).eql([`registered ${A}`, `unregistered ${A}`, `registered ${B}`])
    assume(quorum.registered).equals(B)
  })
})
