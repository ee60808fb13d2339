import type { Description } from '../../lib/registry/records'

/** What a server says of itself in a registry, as long as a real one does. */
export const DESCRIPTION: Description = {
  name: 'node-00001:12345',
  version: '2.0.0',
  protocol: '2',
  pathname: '/primus',
  transport: 'http',
  word: 'AAAAAAAAAAAAAAAA',
  kinds: 'some all end answer ask drop wait notice',
  network: '',
  tag: '',
  drains: ''
}
