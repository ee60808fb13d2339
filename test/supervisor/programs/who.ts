/**
 * Tells its parent whether it takes itself for a supervised worker; with `cluster`, a plain worker of node:cluster is
 * asked in its place.
 */
import cluster from 'node:cluster'
import { worker } from '../../../lib/supervisor'

const answer = {
  inherited: process.env['METROPLEX_WORKER'] !== undefined,
  inCluster: cluster.isWorker,
  name: worker()?.name ?? null
}

if (process.argv[2] === 'cluster' && cluster.isPrimary) {
  const plain = cluster.fork()
  plain.on('message', (message: unknown) => {
    process.send?.(message, () => {
      plain.process.kill('SIGKILL')
      process.disconnect()
    })
  })
} else {
  process.send?.(answer, () => {
    process.disconnect()
  })
}
