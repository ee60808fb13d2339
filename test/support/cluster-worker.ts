import cluster from 'node:cluster'
import type { ChildProcess } from 'node:child_process'
import { PROGRAM } from './server-pool'

/**
 * Makes the process of a server a worker of node:cluster, whose primary is this process: `startServer({ fork:
 * forkWorker, … })`. Workers that are given the same port share it, and all that are given none.
 */
export function forkWorker(): ChildProcess {
  cluster.setupPrimary({ exec: PROGRAM, args: [], silent: true })
  return cluster.fork().process
}
