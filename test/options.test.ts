import { createRequire } from 'node:module'
import os from 'node:os'
import { Cluster, Redis } from 'ioredis'
import metroplex from '../index'
import { settings } from '../lib/common/options'
import { assume } from './support/assume'

/** What is said of options, in the words of the error. */
function said(options: object, ours = settings): Error {
  try {
    ours(options)
  } catch (error) {
    return error as Error
  }
  throw new Error('the options were accepted')
}

const redis = new Redis({ lazyConnect: true })

function absent(): never {
  throw new Error('no Redis here')
}

describe('options', () => {
  it('have the defaults of 1.x, and a lease of 15 s', () => {
    const { interval, latency, lease, namespace, timeout, maxBody, address } = settings({ redis })
    assume({ interval, latency, lease, namespace, timeout, maxBody, address }).eql({
      interval: 300_000,
      latency: 2000,
      lease: 15_000,
      namespace: 'metroplex',
      timeout: 5000,
      maxBody: 10_485_760,
      address: ''
    })
  })

  it('know a limit by its number, and name what is wrong with it', () => {
    assume(settings({ redis, metroplex: { limit: { sparks: 5 } } }).limit).eql({ sparks: 5, over: 'oldest' })
    const form =
      "metroplex: `metroplex.limit` must be an object such as { sparks: 5, over: 'oldest' } or " +
      "{ sparks: 5, over: 'refuse' }; given: "
    for (const limit of [
      5,
      null,
      'oldest',
      [],
      {},
      { over: 'oldest' },
      { sparks: 1, over: 'newest' },
      { sparks: 1, x: 1 }
    ]) {
      const error = said({ redis, metroplex: { limit } })
      assume(error).instanceOf(TypeError)
      assume(error.message.startsWith(form)).true()
    }
    for (const sparks of [0, -1, 1.5, 1001, NaN]) {
      const error = said({ redis, metroplex: { limit: { sparks } } })
      assume(error).instanceOf(RangeError)
      assume(error.message).equals(
        `metroplex: \`metroplex.limit.sparks\` must be a whole number of sparks, from 1 to 1000; given: ${sparks}.`
      )
    }
    assume(said({ redis, metroplex: { limit: { sparks: '5' } } })).instanceOf(TypeError)
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
    ['an interval of 0', { interval: 0 }],
    ['an interval that is no number', { interval: '1000' }],
    ['an interval that is not finite', { interval: Infinity }],
    ['an interval longer than a timer can be', { interval: 2 ** 31 }],
    ['an interval shorter than three beats', { interval: 299 }],
    ['a negative latency', { latency: -1 }],
    ['half a millisecond', { latency: 0.5 }],
    ['a lease of 299 ms', { metroplex: { lease: 299 } }],
    ['a timeout of 0', { metroplex: { timeout: 0 } }],
    ['a body of 10 bytes', { metroplex: { maxBody: 10 } }]
  ] as const) {
    it(`refuse ${what}, and say what is allowed`, () => {
      const error = said({ redis, ...options })
      assume(error instanceof RangeError || error instanceof TypeError).true()
      assume(error.message).matches(/must be a whole number of (milliseconds|bytes), from \d+ to \d+; given: /)
    })
  }

  it('balance with defaults, with terms, or not at all', () => {
    const balance = (given: unknown): unknown => settings({ redis, metroplex: { balance: given as boolean } }).balance
    assume(balance(undefined)).equals(undefined)
    assume(balance(false)).equals(undefined)
    for (const given of [true, {}]) assume(balance(given)).eql({ tolerance: 0.1, rate: 50 })
    assume(balance({ tolerance: 0.2 })).eql({ tolerance: 0.2, rate: 50 })
  })

  for (const [given, kind, words] of [
    [null, TypeError, '`metroplex.balance` must be true, false, or an object such as { tolerance: 0.1, rate: 50 }'],
    ['yes', TypeError, "given: 'yes'."],
    [[], TypeError, 'an array of 0'],
    [{ tolerance: 2 }, RangeError, '`metroplex.balance.tolerance` must be a share of the mean, from 0 to 1; given: 2.'],
    [{ tolerance: '1' }, TypeError, "given: '1'."],
    [{ rate: 0 }, RangeError, '`metroplex.balance.rate` must be a number of sparks a second, above 0 and at most 1000'],
    [{ rate: true }, TypeError, 'given: true.'],
    [{ rates: 5 }, TypeError, 'the option `metroplex.balance.rates` is not known. Did you mean `rate`?']
  ] as const) {
    it(`refuse to balance ${JSON.stringify(given)}`, () => {
      const error = said({ redis, metroplex: { balance: given } })
      assume(error).is.instanceOf(kind)
      assume(error.message).includes(words)
    })
  }

  it('refuse an empty namespace', () => {
    assume(said({ redis, namespace: '' }).message).matches(/`namespace` must be a string that is not empty; given: ''/)
  })

  it('refuse an unknown key, naming the nearest known one', () => {
    assume(said({ redis, metroplex: { leese: 1 } }).message).matches(
      /`metroplex.leese` is not known. Did you mean `lease`\?/
    )
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
    const nodeRedis = {
      isOpen: true,
      sendCommand() {
        return null
      },
      duplicate() {
        return null
      }
    }
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

  describe('on Redis Cluster', () => {
    const cluster = (keyPrefix?: string): Cluster =>
      new Cluster([{ host: '127.0.0.1', port: 1 }], {
        lazyConnect: true,
        ...(keyPrefix !== undefined && { keyPrefix })
      })

    for (const [keyPrefix, namespace] of [
      ['{app}:', 'metroplex'],
      ['{', 'app}'],
      ['{{a}', 'b'],
      ['}', '{a}'],
      ['', 'a{b}{}'],
      ['{a}', '{}'],
      ['', '{a']
    ] as const) {
      const whole = `${keyPrefix}${namespace}:`
      const taken = whole !== '{a:'
      it(`${taken ? 'take' : 'refuse'} the namespace '${namespace}' behind the prefix '${keyPrefix}'`, () => {
        const options = { redis: cluster(keyPrefix), namespace }
        if (taken) assume(settings(options).namespace).equals(namespace)
        else assume(said(options).message).includes('hash tag')
      })
    }

    for (const [keyPrefix, namespace] of [
      ['', '{}{metroplex}'],
      ['{}', '{metroplex}'],
      ['', 'a}b{'],
      ['a{', 'b']
    ] as const) {
      it(`refuse the namespace '${namespace}' behind the prefix '${keyPrefix}', which have no hash tag`, () => {
        assume(said({ redis: cluster(keyPrefix), namespace }).message).matches(
          /must carry a hash tag.*first `\{` of the key/
        )
      })
    }

    it('count a prefix that stands among the options of the nodes, as ioredis does', () => {
      const redis = new Cluster([{ host: '127.0.0.1', port: 1 }], {
        lazyConnect: true,
        redisOptions: { keyPrefix: '{app}:' }
      })
      assume(settings({ redis }).namespace).equals('metroplex')
    })

    for (const keyPrefix of ['{app}:', '{}:', '{']) {
      it(`refuse the prefix '${keyPrefix}' with shards, which would not lie apart`, () => {
        assume(said({ redis: cluster(keyPrefix), metroplex: { shards: 4 } }).message).matches(
          /`keyPrefix` of the client must carry no `\{`/
        )
      })
    }

    it('take any other prefix with shards', () => {
      assume(settings({ redis: cluster('app}:'), metroplex: { shards: 4 } }).shards).equals(4)
    })
  })

  it('take a prefix with braces and shards where there are no slots', () => {
    const client = new Redis({ lazyConnect: true, keyPrefix: '{app}:' })
    assume(settings({ redis: client, metroplex: { shards: 4 } }).shards).equals(4)
  })

  describe('where the package ioredis is replaced', () => {
    const [ioredis, options] = [require.resolve('ioredis'), require.resolve('../lib/common/options')]
    const [real, ours] = [require.cache[ioredis], require.cache[options]]
    const replace = (at: string, by: NodeJS.Module | undefined): void => {
      if (by === undefined) Reflect.deleteProperty(require.cache, at)
      else require.cache[at] = by
    }
    afterEach(() => {
      replace(ioredis, real)
      replace(options, ours)
    })

    /** Our options, loaded while the package exports something else. */
    const anew = createRequire(__filename)
    const loaded = (mock: unknown): typeof settings => {
      replace(ioredis, { ...real, exports: { __esModule: true, default: mock } } as NodeJS.Module)
      replace(options, undefined)
      return (anew('../lib/common/options') as { settings: typeof settings }).settings
    }

    /** What mocks look like: all but the commands of a pipeline; nothing but methods; nothing at all. */
    const mocks: Record<string, new () => object> = {
      'a class whose pipelines have no `call`': class extends Redis {
        constructor() {
          super({ lazyConnect: true })
        }
        override pipeline(): never {
          return { exec: () => Promise.resolve([]) } as never
        }
      },
      'a class whose methods return nothing': class {
        duplicate(): void {
          return undefined
        }
      },
      'a class that throws': class {
        readonly status = absent()
      }
    }
    for (const [what, mock] of Object.entries(mocks)) {
      it(`refuse a client of their own, made by ${what}`, () => {
        const error = said({}, loaded(mock))
        assume(error).is.instanceOf(TypeError)
        assume(error.message).matches(/without the option `redis`.*'ioredis'.*mock/)
      })
    }

    it('refuse what they are handed over just as well', () => {
      const [mock] = Object.values(mocks)
      assume(said({ redis: mock === undefined ? {} : new mock() }).message).includes('must be an ioredis client')
    })
  })

  it('refuse a URL or a plain object as client', () => {
    assume(said({ redis: 'redis://localhost' }).message).includes("given: 'redis://localhost'")
    assume(said({ redis: {} }).message).includes('an object (Object)')
    assume(said({ redis: Promise.resolve(redis) }).message).includes('an object (Promise)')
  })

  for (const [what, lacks] of Object.entries({
    'throws for what it lacks': { pipeline: absent },
    'has no options': { options: null }
  })) {
    it(`refuse a mock that ${what} as client`, () => {
      const mock = Object.assign(Object.create(redis), lacks) as object
      assume(said({ redis: mock }).message).includes('must be an ioredis client')
    })
  }

  it('create a client that connects with its first command', () => {
    const own = settings({})
    assume(own.ownRedis).true()
    assume(own.redis.status).equals('wait')
  })

  for (const address of [
    'servers',
    'sparks',
    '10.0.0.5:8080',
    'ws://10.0.0.5',
    'http://10.0.0.5/path',
    'http://a:b@10.0.0.5',
    'http://10.0.0.5?x',
    'http://',
    42
  ]) {
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

  it('have a name though the host name cannot be read', () => {
    const { hostname } = os
    os.hostname = () => {
      throw new Error('A system error occurred: uv_os_gethostname returned EPERM')
    }
    try {
      assume(settings({ redis }).name).equals(`unknown:${process.pid}`)
    } finally {
      os.hostname = hostname
    }
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
