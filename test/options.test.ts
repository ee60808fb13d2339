import { Cluster, Redis } from 'ioredis'
import metroplex from '../index'
import { settings } from '../lib/options'
import { assume } from './support/assume'

/** What is said of options, in the words of the error. */
function said(options: object): Error {
  try {
    settings(options)
  } catch (error) {
    return error as Error
  }
  throw new Error('the options were accepted')
}

const redis = new Redis({ lazyConnect: true })

describe('options', () => {
  it('have the defaults of 1.x, and a lease of 15 s', () => {
    const { interval, latency, lease, namespace, timeout, maxBody, address } = settings({ redis })
    assume({ interval, latency, lease, namespace, timeout, maxBody, address }).eql({
      interval: 300_000, latency: 2000, lease: 15_000, namespace: 'metroplex', timeout: 5000, maxBody: 10_485_760, address: ''
    })
  })

  it('keep latency below a short interval, and the lease within it', () => {
    const { latency, lease } = settings({ redis, interval: 1000 })
    assume({ latency, lease }).eql({ latency: 500, lease: 1000 })
  })

  it('refuse a latency that is not less than the interval, naming both', () => {
    const error = said({ redis, interval: 1000, latency: 1000 })
    assume(error).is.instanceOf(RangeError)
    assume(error.message).matches(/latency 1000, interval 1000/)
    assume(said({ redis, latency: 300_000 }).message).includes('interval 300000')
  })

  it('refuse a lease longer than the interval, naming both', () => {
    assume(said({ redis, interval: 1000, metroplex: { lease: 2000 } }).message).matches(/lease 2000, interval 1000/)
  })

  for (const [what, options] of [
    ['an interval of 0', { interval: 0 }], ['an interval that is no number', { interval: '1000' }],
    ['an interval that is not finite', { interval: Infinity }], ['an interval longer than a timer can be', { interval: 2 ** 31 }],
    ['an interval shorter than three beats', { interval: 299 }], ['a negative latency', { latency: -1 }],
    ['half a millisecond', { latency: 0.5 }], ['a lease of 299 ms', { metroplex: { lease: 299 } }],
    ['a timeout of 0', { metroplex: { timeout: 0 } }], ['a body of 10 bytes', { metroplex: { maxBody: 10 } }]
  ] as const) {
    it(`refuse ${what}, and say what is allowed`, () => {
      const error = said({ redis, ...options })
      assume(error instanceof RangeError || error instanceof TypeError).true()
      assume(error.message).matches(/must be a whole number of (milliseconds|bytes), from \d+ to \d+; given: /)
    })
  }

  it('refuse an empty namespace', () => {
    assume(said({ redis, namespace: '' }).message).matches(/`namespace` must be a string that is not empty; given: ''/)
  })

  it('refuse an unknown key, naming the nearest known one', () => {
    assume(said({ redis, metroplex: { leese: 1 } }).message).matches(/`metroplex.leese` is not known. Did you mean `lease`\?/)
    assume(said({ redis, metroplex: { quorum: 1 } }).message).matches(/Known are: name, lease, secret, timeout/)
  })

  it('refuse what is no object where ours are nested', () => {
    assume(said({ redis, metroplex: 'fast' }).message).includes("given: 'fast'")
    assume(said({ redis, metroplex: [] }).message).includes('an array of 0')
    assume(said({ redis, metroplex: null }).message).includes('given: null')
    assume(said({ redis, metroplex: { tls: 'yes' } }).message).includes('`metroplex.tls` must be an object')
    assume(said({ redis, metroplex: { name: '' } }).message).includes('`metroplex.name`')
  })

  it('tell the user of a node-redis client what to pass instead', () => {
    const nodeRedis = { isOpen: true, sendCommand() { return null }, duplicate() { return null } }
    const error = said({ redis: nodeRedis })
    assume(error).is.instanceOf(TypeError)
    assume(error.message).matches(/new Redis\(url\).*'ioredis'.*node-redis/)
  })

  it('want a hash tag in the namespace on Redis Cluster', () => {
    const cluster = new Cluster([{ host: '127.0.0.1', port: 1 }], { lazyConnect: true })
    const error = said({ redis: cluster })
    assume(error).is.instanceOf(TypeError)
    assume(error.message).matches(/hash tag.*'\{metroplex\}' for instance\. Or .*shards: 16.*; given: 'metroplex'/)
    assume(settings({ redis: cluster, metroplex: { shards: 16 } }).namespace).equals('metroplex')
    assume(settings({ redis: cluster, namespace: '{metroplex}' }).namespace).equals('{metroplex}')
  })

  it('refuse a URL or a plain object as client', () => {
    assume(said({ redis: 'redis://localhost' }).message).includes("given: 'redis://localhost'")
    assume(said({ redis: {} }).message).includes('an object (Object)')
  })

  it('make a client of their own that is opened by nobody but its first command', () => {
    const own = settings({})
    assume(own.ownRedis).true()
    assume(own.redis.status).equals('wait')
  })

  for (const address of ['servers', 'sparks', '10.0.0.5:8080', 'ws://10.0.0.5', 'http://10.0.0.5/path', 'http://a:b@10.0.0.5', 'http://10.0.0.5?x', 'http://', 42]) {
    it(`refuse ${JSON.stringify(address)} as address, and show one`, () => {
      assume(said({ redis, address }).message).matches(/without a path, like 'http:\/\/10\.0\.0\.5:8080'; given: /)
    })
  }

  it('take an address with a slash at its end, without it', () => {
    assume(settings({ redis, address: 'https://[::1]:8080/' }).address).equals('https://[::1]:8080')
  })

  it('fail in the constructor already, before anything is opened', () => {
    assume(() => metroplex({}, { interval: -1 })).throws(/`interval`/)
  })

  it('take their name from the environment', () => {
    process.env['METROPLEX_NAME'] = 'web-1'
    try {
      assume(settings({ redis }).name).equals('web-1')
    } finally {
      delete process.env['METROPLEX_NAME']
    }
    assume(settings({ redis }).name).matches(/^.+:\d+$/)
    assume(settings({ redis, metroplex: { name: 'x' } }).name).equals('x')
  })
})
