import { counted } from '../../reporting/quantity-text'
import type { Difference } from '../../survey/differences'
import type { ClusterWatch } from '../watch/cluster-watch'
import { dialledBy } from '../watch/redis-address'
import type { DashboardSettings } from '../options'
import type { WireHead } from '../wire'

/** Something is wrong with a server that hurts so much. */
const WRONG = 2

/** What all answers carry. */
export function pageHead(watch: ClusterWatch, { redis, survey, environment, readOnly }: DashboardSettings): WireHead {
  const { snapshot, failure } = watch
  const { rows = [], view, unequal = [], at = 0 } = snapshot ?? {}
  const sum = (of: 'sparks' | 'users' | 'queued'): number => rows.reduce((total, row) => total + (row[of] ?? 0), 0)
  return {
    namespace: survey.namespace,
    environment,
    readOnly,
    redis: {
      state: failure !== undefined ? 'away' : snapshot === undefined ? 'opening' : 'ok',
      dialled: dialledBy(redis),
      why: failure ?? '',
      took: Math.round((view?.took ?? 0) * 10) / 10
    },
    at,
    servers: rows.length,
    alive: view?.servers.filter(({ registered }) => registered === 'up').length ?? 0,
    wrong: rows.filter(({ hurt }) => hurt >= WRONG).length,
    sparks: sum('sparks'),
    users: sum('users'),
    queued: sum('queued'),
    trend: watch.trends.all,
    differences: unequal.map(differenceOf)
  }
}

function differenceOf({ what, values }: Difference): string {
  const each = values.map(({ value, servers }) => `${value} on ${counted(servers.length, 'server')}`)
  return `${what} differs: ${each.join(', ')}`
}
