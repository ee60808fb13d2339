/**
 * `node dist/examples/rolling-restart.js`: three servers behind a balancer, with 300 clients that are sent messages all the while, are restarted one after the other.
 * Ends with 0 only if no message was lost, and everybody is connected and found in the end.
 */
import { randomBytes } from 'node:crypto'
import { eventually } from '../test/support/wait'
import { freePort } from '../test/support/ports'
import { Narrator } from './demo/narrator'
import { openRegistry } from './demo/registry'
import { Balancer } from './rolling/balancer'
import { Crowd } from './rolling/crowd'
import { Member } from './rolling/fleet'
import { Ledger, type Sums } from './rolling/ledger'

/** How many clients there are. */
const CLIENTS = 300

/** How many sparks a server that leaves lets go a second. */
const RATE = 100

/** How often servers are told which sparks there are, in ms. */
const NEWS = 50

const narrator = new Narrator()
const undo: (() => unknown)[] = []

async function main(): Promise<void> {
  const namespace = `metroplex-rolling-${randomBytes(6).toString('hex')}`
  const registry = await openRegistry(namespace, line => { narrator.tell('Redis', line) })
  undo.push(() => registry.close())
  narrator.tell('Redis', registry.description)

  const ledger = new Ledger()
  const ports = [await freePort(), await freePort(), await freePort()]
  const members: Member[] = []
  const start = async (at: number): Promise<void> => {
    const task = { name: `server ${at + 1}`, redisUrl: registry.url, namespace, port: ports[at] ?? 0, rate: RATE }
    const member = members[at] = new Member(task, (n, outcome) => { ledger.note(n, outcome) })
    await member.ready()
    narrator.tell(task.name, `runs as ${member.address} (pid ${member.pid})`)
  }
  undo.push(() => Promise.all(members.map(member => member.kill())))
  await Promise.all(ports.map((_, at) => start(at)))

  const balancer = new Balancer(ports)
  undo.push(() => balancer.close())
  const url = await balancer.open()
  const crowd = new Crowd()
  undo.push(() => { crowd.close() })
  await crowd.open(url, CLIENTS)
  narrator.tell('clients', `${CLIENTS} are connected, through a balancer`)
  const news = setInterval(() => { for (const member of members) member.tell({ known: crowd.ids }) }, NEWS)
  undo.push(() => { clearInterval(news) })

  for (const [at, member] of [...members].entries()) {
    narrator.scene(`${member.task.name} is restarted`)
    const { drained: { moved, left }, most } = await member.leave()
    narrator.tell(member.task.name, `let ${moved} sparks go, ${most} in its busiest second, and has ended`)
    if (left > 0 || most > RATE) throw new Error(`${left} were left, and ${most} went in a second.`)
    await start(at)
  }

  narrator.scene('in the end')
  await crowd.complete()
  clearInterval(news)
  for (const member of members) member.tell({ known: [] })
  await check(members, crowd)
  narrator.proof(`${CLIENTS} are connected, and the registry knows where each of them is; they came back ${crowd.returns} times`)

  let sums: Sums | undefined
  await eventually(() => {
    sums = ledger.sums(crowd.heard)
    return sums.lost === 0
  }, { what: 'the arrival of all messages' }).catch(() => undefined)
  const { sent, arrived, missing, failed, lost, wrong } = sums as Sums
  const line = `${sent} messages: ${arrived} arrived; of ${missing} the sender was told that the client has gone, of ${failed} that they failed; ${lost} lost, ${wrong} wrong`
  if (lost + wrong > 0 || arrived === 0) throw new Error(line)
  narrator.proof(line)
}

/** Whether the registry says what is true. */
async function check(members: readonly Member[], crowd: Crowd): Promise<void> {
  await eventually(async () => {
    const ids = crowd.ids
    const surveys = await Promise.all(members.map(member => member.survey(ids)))
    const real = new Map(surveys.flatMap(({ here }, at) => here.map(id => [id, members[at]?.address])))
    return real.size === ids.length && surveys.every(({ places }) => places.every((place, at) => place === real.get(ids[at] ?? '')))
  }, { within: 10_000, what: 'a registry that is right' })
}

async function close(): Promise<void> {
  for (let step = undo.pop(); step !== undefined; step = undo.pop()) await step()
}

/** Rejects when it is to end early. */
function interruption(): Promise<never> {
  return new Promise((_resolve, reject) => {
    for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) process.once(signal, () => { reject(new Error(`ended by ${signal}`)) })
  })
}

Promise.race([main(), interruption()]).then(() => 0, (error: unknown) => {
  narrator.alarm((error as Error).message)
  return 1
}).then(async code => {
  await close()
  process.exit(code)
}).catch((error: unknown) => {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exit(1)
})
