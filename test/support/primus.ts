import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Redis } from 'ioredis'
import { adopt, type Scope } from './dispose'
import { load, loadPlugin, loadPrimus, type MetroplexUnderTest, type PrimusUnderTest } from './primus-types'
import { deadline } from './wait'

const patience = 10_000

/** How to make a Primus in this very process. */
export interface PrimusOptions {
  /** The registry, and the plugin's `namespace` option. */
  redis: { url: string; namespace?: string }
  /** Options for Primus, metroplex's included. @default {} */
  primus?: Record<string, unknown>
  /** Whether to load omega-supreme, and whether before or after metroplex; `true` is before. @default false */
  omega?: boolean | 'before' | 'after'
  /** The plugin itself. @default this project's */
  plugin?: unknown
  /** The http server. @default a new one, without TLS */
  server?: Server
  /** The unix socket that it listens on; `url` is empty then. @default none: a free port of 127.0.0.1 */
  at?: string
  /** Whether the http server listens, there; if not, `url` is empty. @default true */
  listen?: boolean
  /** Until when it lives: with `'suite'` call `dispose()`. @default 'test' */
  scope?: Scope
}

/** What `createPrimus` resolves with. */
export interface CreatedPrimus {
  primus: PrimusUnderTest
  server: Server
  metroplex: MetroplexUnderTest
  /** The client the plugin was given; it is closed after Primus was destroyed. */
  redis: Redis
  /** Where clients connect. */
  url: string
  /** Destroys it now: harmless when called twice, or after `primus.destroy()`. */
  dispose: () => Promise<void>
}

/**
 * Makes a Primus with metroplex in this process: quicker than `startServer`, and within reach.
 *
 * Resolves when the http server listens, which is before it has registered: await
 * `metroplex.ready()` for that. Inside a test it is destroyed when the test ends; a
 * `destroy` that takes more than 10 seconds fails the test.
 *
 * @example
 * const { primus, metroplex } = await createPrimus({ redis: { url: redis.url, namespace: namespace() } })
 */
export async function createPrimus(options: PrimusOptions): Promise<CreatedPrimus> {
  const { omega = false, server = createServer(), at, listen = true } = options
  const redis = new Redis(options.redis.url)
  // The faults are the tests' own: ioredis would print each of them.
  redis.on('error', () => undefined)

  const settings: Record<string, unknown> = { transformer: 'websockets', redis, ...options.primus }
  if (options.redis.namespace !== undefined) settings['namespace'] = options.redis.namespace

  const created: { primus?: PrimusUnderTest } = {}
  const dispose = async (): Promise<void> => {
    try {
      await destroyed(created.primus)
    } finally {
      redis.disconnect()
      server.close()
      server.closeAllConnections()
    }
  }
  adopt(dispose, options.scope)

  const primus = (created.primus = new (loadPrimus())(server, settings))
  if (omega === true || omega === 'before') primus.plugin('omega-supreme', loadPlugin('omega-supreme'))
  primus.plugin('metroplex', options.plugin ?? load('../../index'))
  if (omega === 'after') primus.plugin('omega-supreme', loadPlugin('omega-supreme'))

  const made = { primus, server, metroplex: primus.metroplex, redis, url: '', dispose }
  if (!listen) return made
  if (at === undefined) server.listen(0, '127.0.0.1')
  else server.listen(at)
  await once(server, 'listening')
  if (at !== undefined) return made
  return { ...made, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

async function destroyed(primus: PrimusUnderTest | undefined): Promise<void> {
  // Primus gives its server up at the very end of destroy.
  if (!primus?.server) return
  await deadline(
    new Promise<void>((resolve, reject) => {
      primus.destroy({}, error => (error ? reject(error) : resolve()))
    }),
    patience,
    'the end of primus.destroy()'
  )
}
