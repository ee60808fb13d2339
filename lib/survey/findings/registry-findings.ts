import { count, counted } from '../../reporting/quantity-text'
import { live, type ServerView } from '../cluster-view'
import type { Examination } from './examination'
import { found, type Finding } from './finding'

/** What is wrong with the entries of the registry. */
export function registryFindings(examined: Examination): Finding[] {
  return [...absent(examined), ...partly(examined), ...leftovers(examined), ...strays(examined)]
}

function absent({ view, namespace }: Examination): Finding[] {
  if (live(view).length > 0) return []
  return [
    found(
      'no-servers',
      'error',
      `No server is alive in the namespace ${namespace}.`,
      'Start servers; or give the --redis, the --namespace and the --shards that they have.'
    )
  ]
}

function partly({ view }: Examination): Finding[] {
  return live(view)
    .filter(({ shards, old }) => shards < view.shards && !old)
    .map(({ address, shards }) =>
      found(
        'partly-registered',
        'warning',
        `${address} is registered in ${shards} of ${view.shards} registries.`,
        'Look again in some seconds. If it stays, see the log of that server: a part of Redis may not be reached.',
        [address]
      )
    )
}

function leftovers({ view }: Examination): Finding[] {
  const cleaning = live(view).some(({ old }) => !old)
  const remedy = cleaning
    ? 'Nothing: the live servers remove them. If they are still there in some minutes, see the logs of the servers.'
    : 'Start a server of metroplex 2 in the namespace: servers clean up after dead ones.'
  return view.servers
    .filter(({ registered, aside }) => registered !== 'up' || aside > 0)
    .map(server => found('leftovers', cleaning ? 'notice' : 'warning', remainsOf(server), remedy, [server.address]))
}

function remainsOf({ address, registered, sparks, aside, old }: ServerView): string {
  if (registered === 'up')
    return `Entries of ${counted(aside, 'former life', 'former lives')} at ${address} are not removed yet.`
  const left = counted(sparks, 'spark')
  if (registered === 'silent')
    return `${address}${old ? ', of metroplex 1.x,' : ''} gives no sign of life, and is listed with ${left}.`
  return `${address} ${registered === 'dead' ? 'has died' : 'has left'}, and ${left} of it are not removed yet.`
}

function strays({ strays: unowned, scanned }: Examination): Finding[] {
  if (unowned.size === 0) return []
  const total = [...unowned.values()].reduce((sum, one) => sum + one, 0)
  return [
    found(
      'strays',
      'warning',
      `Of ${counted(scanned, 'spark')} that were looked at, ${count(total)} are registered at ` +
        `${counted(unowned.size, 'address', 'addresses')} without a server.`,
      'The next audit of a live server of metroplex 2 removes them, within some minutes. If they come back, a server ' +
        'of 1.x or another program writes them.',
      [...unowned.keys()]
    )
  ]
}
