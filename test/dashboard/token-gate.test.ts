import { TokenGate } from '../../lib/dashboard/guard/token-gate'
import type { PageRefusal } from '../../lib/dashboard/refusal'
import { assume } from '../support/assume'

describe('the token of the page', () => {
  /** The status with which a token is refused; 200 for none. */
  const status = (gate: TokenGate, address: string, given?: string): number => {
    try {
      gate.admit(address, given === undefined ? undefined : `Bearer ${given}`)
      return 200
    } catch (error) {
      return (error as PageRefusal).status
    }
  }

  it('is waited for longer and longer by an address that guesses, up to a minute, and by no other', () => {
    let time = 1_000_000
    const gate = new TokenGate('the right token', () => time)
    for (let i = 0; i < 4; i++) assume(status(gate, '10.0.0.1', 'wrong')).equals(401)
    for (const seconds of [1, 2, 4, 8, 16, 32, 60, 60]) {
      assume(status(gate, '10.0.0.1', 'wrong')).equals(401)
      time += seconds * 1000 - 1
      assume(status(gate, '10.0.0.1', 'the right token')).equals(429)
      assume(status(gate, '10.0.0.2', 'the right token')).equals(200)
      time += 1
    }
    assume(status(gate, '10.0.0.1', 'the right token')).equals(200)
    assume(status(gate, '10.0.0.1', 'wrong')).equals(401)
    assume(status(gate, '10.0.0.1', 'the right token')).equals(200)
  })

  it('forgets wrong ones after ten minutes, and counts no request without one', () => {
    let time = 0
    const gate = new TokenGate('the right token', () => time)
    for (let i = 0; i < 4; i++) status(gate, 'a', 'wrong')
    for (let i = 0; i < 9; i++) assume(status(gate, 'a')).equals(401)
    time += 600_000
    status(gate, 'a', 'wrong')
    assume(status(gate, 'a', 'the right token')).equals(200)
  })

  it('remembers a limited number of addresses', () => {
    const gate = new TokenGate('the right token', () => 0)
    for (let i = 0; i < 5; i++) status(gate, 'first', 'wrong')
    assume(status(gate, 'first', 'wrong')).equals(429)
    for (let i = 0; i < 10_000; i++) status(gate, `address ${i}`, 'wrong')
    assume(status(gate, 'first', 'wrong')).equals(401)
  })
})
