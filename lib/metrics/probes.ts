import { inspectValue } from '../common/errors'
import { ServerCore } from '../core/server-core'
import { answering, type HttpHandler } from '../common/exposition/handler'
import type { Statistics } from '../reporting/types'
import { coreOf } from './metrics'

/** What can be ready: a server, `primus.metroplex`. */
export interface ProbedServer {
  stats(): Statistics
}

/**
 * Answers whether a server may get new clients: a request handler for node:http, Express and Fastify. It answers 200
 * in the states `ready` and `degraded`, and 503 before the server is registered, while it drains, and after `destroy`.
 *
 * A `degraded` server counts, because all servers are degraded while Redis is away, and all serve their clients: a
 * balancer that removed all of them would make an outage of it. Nothing is asked, so the answer comes at once.
 * `health()` says more.
 *
 * @throws TypeError for what is no server
 *
 * @example
 * http.createServer(readinessHandler(primus.metroplex)).listen(9090)
 */
export function readinessHandler(server: ProbedServer): HttpHandler {
  const core = coreOf(server)
  if (!(core instanceof ServerCore))
    throw new TypeError(
      `metroplex: only a server, \`primus.metroplex\`, becomes ready; given: ${inspectValue(server)}.`
    )
  return answering(() => {
    const state = core.closing ? 'destroyed' : core.state
    const ready = state === 'ready' || state === 'degraded'
    return { ...JSON_ANSWER, status: ready ? 200 : 503, body: JSON.stringify({ ready, state }) }
  })
}

/**
 * Answers 200 as long as this process can answer: a request handler for node:http, Express and Fastify. It knows
 * nothing of Redis, and of no server, because a restart would not help them: a server that drains or lost Redis must
 * not be killed. A process whose event loop is blocked does not answer.
 *
 * @example
 * http.createServer(livenessHandler()).listen(9090)
 */
export function livenessHandler(): HttpHandler {
  return answering(() => ({ ...JSON_ANSWER, status: 200, body: JSON.stringify({ live: true }) }))
}

const JSON_ANSWER = { type: 'application/json' } as const
