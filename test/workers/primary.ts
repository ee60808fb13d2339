/**
 * A process whose workers are servers; it says who they are when they are ready.
 */
import { Supervisor } from '../../lib/supervisor'
import { PROGRAM } from '../support/server-pool'

const count = Number(process.argv[2])

// Its workers have our environment, and so what makes them start by themselves.
const supervisor = new Supervisor({ web: { exec: PROGRAM, count, grace: 8000 } })
supervisor.start().then(
  () => {
    process.send?.(supervisor.workers().map(({ pid }) => pid))
  },
  (error: unknown) => {
    console.error(error)
    process.exit(1)
  }
)
