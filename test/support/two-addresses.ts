import dns from 'node:dns'
import { using } from './dispose'

type Answer = (error: null, addresses: unknown, family?: number) => void

const ADDRESSES = [
  { address: '::1', family: 6 },
  { address: '127.0.0.1', family: 4 }
]

/**
 * A host name with two addresses of this machine, for the current test. Few machines have one: `localhost` often has an
 * IPv4 address alone.
 */
export function twoAddresses(): string {
  const host = 'two-addresses.test'
  const { lookup } = dns
  const answer = (name: string, options: { all?: boolean }, callback: Answer): void => {
    if (name !== host) {
      Reflect.apply(lookup, dns, [name, options, callback])
    } else if (options.all === true) {
      setImmediate(callback, null, ADDRESSES)
    } else {
      setImmediate(callback, null, '127.0.0.1', 4)
    }
  }
  Object.defineProperty(dns, 'lookup', { value: answer, configurable: true, writable: true })
  using(() => Object.defineProperty(dns, 'lookup', { value: lookup, configurable: true, writable: true }))
  return host
}
