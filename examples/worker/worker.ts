/**
 * Does jobs and sends the results to their users, on any server. It has no Primus, listens on no port, and is no
 * server of the cluster.
 *
 * It reads REDIS_URL and NAMESPACE, and ends after two seconds without a job, or at SIGTERM.
 */
import { Redis } from 'ioredis'
import { createClient } from 'metroplex'

const { REDIS_URL = 'redis://127.0.0.1:6379', NAMESPACE = 'worker' } = process.env

/** How long it waits for a job, in s. */
const IDLE = 2

const redis = new Redis(REDIS_URL)
redis.on('error', error => {
  console.error('Redis:', error.message)
})

const cluster = createClient({ redis, namespace: `${NAMESPACE}:cluster` })
cluster.on('error', console.error)

let stopping = false
process.once('SIGTERM', () => {
  stopping = true
})

async function main(): Promise<void> {
  for (const { address, ...answer } of await cluster.call('clients')) {
    console.log(address, answer.ok ? `has ${String(answer.value)} clients` : `does not answer: ${answer.error.message}`)
  }

  let jobs = 0
  // A job of a worker that dies stays in `doing`, for another worker to find.
  for (
    let job;
    !stopping && (job = await redis.blmove(`${NAMESPACE}:jobs`, `${NAMESPACE}:doing`, 'RIGHT', 'LEFT', IDLE)) !== null;
  ) {
    await finish(JSON.parse(job) as Job)
    await redis.lrem(`${NAMESPACE}:doing`, 1, job)
    jobs++
  }

  const { send, failed } = await cluster.publish('finished', { jobs })
  console.log(`${jobs} jobs finished; ${send} servers know`)
  if (failed) console.error(failed)
}

interface Job {
  readonly user: string
  readonly photo: string
}

async function finish({ user, photo }: Job): Promise<void> {
  const { send, missing, failed } = await cluster.forward.user(user, { resized: photo })
  // A user that is offline gets nothing. Store the result if it matters: messages only reach connected users.
  if (missing) console.log(`${photo} is done; ${user} is away`)
  else console.log(`${photo} is done; ${user} was told on ${send} connections`)
  if (failed) console.error(failed)
}

main()
  .catch((error: unknown) => {
    console.error(error)
    process.exitCode = 1
  })
  .finally(async () => {
    // Nothing keeps the process alive after this.
    await cluster.close()
    redis.disconnect()
  })
  .catch(console.error)
