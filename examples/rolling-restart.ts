/**
 * `node dist/examples/rolling-restart.js`: restarts three servers behind a balancer one after the other, while 300
 * clients receive messages. Exits with 0 only if no message was lost and all clients are connected and found at the
 * end.
 */
import { randomBytes } from 'node:crypto'
import { eventually } from '../test/support/wait'
import { reservePort } from '../test/support/ports'
import { Output } from './demo/output'
import { openRegistry } from './demo/redis'
import { Balancer } from './rolling/balancer'
import { Crowd } from './rolling/crowd'
import { Member } from './rolling/fleet'
import { Ledger, type Sums } from './rolling/ledger'

/** The number of clients. */
const CLIENTS = 300

/** How many sparks a second a leaving server ends. */
const RATE = 100

/** How often servers are told which sparks to send to, in ms. */
const NEWS = 50

const output = new Output()
const undo: (() => unknown)[] = []

async function main(): Promise<void> {
  const namespace = `metroplex-rolling-${randomBytes(6).toString('hex')}`
  const registry = await openRegistry(namespace, line => {
    output.tell('Redis', line)
  })
  undo.push(() => registry.close())
  output.tell('Redis', registry.description)

  const ledger = new Ledger()
  const ports = [await reservePort(), await reservePort(), await reservePort()]
  const members: Member[] = []
  const start = async (at: number): Promise<void> => {
    const task = { name: `server ${at + 1}`, redisUrl: registry.url, namespace, port: ports[at] ?? 0, rate: RATE }
    const member = (members[at] = new Member(task, (n, outcome) => {
      ledger.note(n, outcome)
    }))
    await member.ready()
    output.tell(task.name, `runs as ${member.address} (pid ${member.pid})`)
  }
  undo.push(() => Promise.all(members.map(member => member.kill())))
  await Promise.all(ports.map((_, at) => start(at)))

  const balancer = new Balancer(ports)
  undo.push(() => balancer.close())
  const url = await balancer.open()
  const crowd = new Crowd()
  undo.push(() => {
    crowd.close()
  })
  await crowd.open(url, CLIENTS)
  output.tell('clients', `${CLIENTS} are connected, through a balancer`)
  const news = setInterval(() => {
    for (const member of members) member.tell({ known: crowd.ids })
  }, NEWS)
  undo.push(() => {
    clearInterval(news)
  })

  for (const [at, member] of [...members].entries()) {
    output.scene(`${member.task.name} is restarted`)
    const {
      drained: { moved, left },
      most
    } = await member.leave()
    output.tell(member.task.name, `let ${moved} sparks go, ${most} in its busiest second, and has ended`)
    if (left > 0 || most > RATE) throw new Error(`${left} were left, and ${most} went in a second.`)
    await start(at)
  }

  output.scene('in the end')
  await crowd.complete()
  clearInterval(news)
  for (const member of members) member.tell({ known: [] })
  await check(members, crowd)
  output.proof(
    `${CLIENTS} are connected, and the registry knows where each of them is; they came back ${crowd.returns} times`
  )

  let sums: Sums | undefined
  await eventually(
    () => {
      sums = ledger.sums(crowd.heard)
      return sums.lost === 0
    },
    { what: 'the arrival of all messages' }
  ).catch(() => undefined)
  const { sent, arrived, missing, failed, lost, wrong } = sums as Sums
  const line =
    `${sent} messages: ${arrived} arrived; ${missing} were reported missing and ${failed} failed; ` +
    `${lost} lost, ${wrong} wrong`
  if (lost + wrong > 0 || arrived === 0) throw new Error(line)
  output.proof(line)
}

/** Waits until the registry agrees with the servers. */
async function check(members: readonly Member[], crowd: Crowd): Promise<void> {
  await eventually(
    async () => {
      const ids = crowd.ids
      const surveys = await Promise.all(members.map(member => member.survey(ids)))
      const real = new Map(surveys.flatMap(({ here }, at) => here.map(id => [id, members[at]?.address])))
      return (
        real.size === ids.length &&
        surveys.every(({ places }) => places.every((place, at) => place === real.get(ids[at] ?? '')))
      )
    },
    { within: 10_000, what: 'a registry that is right' }
  )
}

async function close(): Promise<void> {
  for (let step = undo.pop(); step !== undefined; step = undo.pop()) await step()
}

/** Rejects at the first signal. */
function interruption(): Promise<never> {
  return new Promise((_resolve, reject) => {
    for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const)
      process.once(signal, () => {
        reject(new Error(`ended by ${signal}`))
      })
  })
}

Promise.race([main(), interruption()])
  .then(
    () => 0,
    (error: unknown) => {
      output.alarm((error as Error).message)
      return 1
    }
  )
  .then(async code => {
    await close()
    process.exit(code)
  })
  .catch((error: unknown) => {
    process.stderr.write(`${(error as Error).message}\n`)
    process.exit(1)
  })
