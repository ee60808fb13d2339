/** Leases of a life in a registry without servers: longer than any test takes, in ms. */
export const TERMS = { lease: 60_000, interval: 60_000 }

/** What a server says of itself in a registry, where a test does not care. */
export const DESCRIPTION = {
  name: 'test',
  version: '2',
  protocol: '2',
  pathname: '/primus',
  transport: 'http',
  word: 'a-word-of-ours',
  kinds: 'some all end group',
  network: '',
  tag: '',
  drains: ''
}
