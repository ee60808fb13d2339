import { COMMANDS, openNamed, PUBLISH, showsConnections, SUBSCRIBE } from './support/connection-names'
import { namespace } from './support/namespace'
import { startCluster } from './support/redis-cluster'
import { startSentinel } from './support/redis-sentinel'
import { openRedis } from './support/redis-target'

describe('the names of our connections', function () {
  this.timeout(60_000)

  it('are those of a master behind Sentinels', async () => {
    const sentinel = await startSentinel()
    openNamed(openRedis(sentinel.target))
    await showsConnections([await sentinel.master()], [COMMANDS, PUBLISH, SUBSCRIBE])
  })

  it('are those of the master of a Redis Cluster that has the keys', async () => {
    const cluster = await startCluster()
    const space = `{${namespace()}}`
    openNamed(cluster.client(), { space })
    await showsConnections([await cluster.owner(`${space}:channel`)], [COMMANDS, PUBLISH, SUBSCRIBE])
  })
})
