import type { WorkerEvent } from 'metroplex/supervisor'
import { deadline, eventually, once } from '../../test/support/wait'
import type { Said } from '../chat'
import type { Actor } from './actor'
import type { Client } from './client'
import type { Company } from './company'
import { list, seconds } from './narrator'
import { LEASE, type Stage } from './stage'

/** How long one step may take, in ms. */
const PATIENCE = 15_000

/** Within how many ms a crash is noticed, as the README says. */
const NOTICED = LEASE * 5 / 3

/** What that may take longer on a machine that is busy with something else, in ms. */
const ALLOWANCE = 3000

/**
 * Tells the story, and checks each step of it before it is told.
 *
 * @throws An error that says what was expected, when a step does not come out
 */
export async function tell(stage: Stage): Promise<void> {
  stage.narrator.scene('Three servers, workers of a supervisor')
  const cast = await gather(stage)
  stage.narrator.scene('A dozen clients')
  await connect(stage, cast)
  stage.narrator.scene('One cluster')
  await lookUp(stage, cast)
  await forward(stage, cast)
  await broadcast(stage, cast)
  stage.narrator.scene('A crash')
  await crash(stage, cast)
}

type Cast = readonly [Actor, Actor, Actor]

async function gather({ company, narrator }: Stage): Promise<Cast> {
  const [web, sockjs] = company.doors
  narrator.tell('supervisor', `starts web-1 and web-2, which share ${web.url}  (${web.transformer}), and sockjs-1, at ${sockjs.url}`)
  await deadline(company.start(), PATIENCE, 'the readiness of all workers')
  const cast = [company.find('web-1'), company.find('sockjs-1'), company.find('web-2')] as const
  for (const actor of cast) await acquainted(actor, cast)
  narrator.proof('all are ready, and each has been told of the two others')
  return cast
}

async function connect({ clients, company, narrator }: Stage, cast: Cast): Promise<void> {
  await Promise.all(company.doors.map(async door => {
    // One after the other: node:cluster deals them out evenly then.
    for (const client of clients.filter(one => one.door === door)) await deadline(client.go(), PATIENCE, `the arrival of ${client.name} at ${door.url}`)
  }))
  for (const actor of cast) {
    const guests = clients.filter(({ at }) => at === actor.name)
    expect(guests.length > 0, `some of the clients to be on ${actor.name}`, clients.map(({ name, at }) => `${name} on ${at}`))
    narrator.tell(actor.name, `${list(guests.map(({ name }) => name))} connected to ${guests[0]?.door.url ?? ''}`)
  }
  const [first] = cast
  await eventually(async () => await first.ask('count') === clients.length, {
    within: PATIENCE, what: `a cluster of ${clients.length} sparks, as ${first.name} counts them,`
  })
  narrator.proof(`the cluster has ${clients.length} sparks`)
}

async function lookUp({ clients, company, narrator }: Stage, cast: Cast): Promise<void> {
  const [first, , third] = cast
  const guest = guestOf(clients, third)
  narrator.tell(first.name, `where is ${guest.name}, spark ${guest.id}?`)
  const place = await first.ask('spark', guest.id)
  expect(place === third.address, `the lookup of ${guest.name} to give ${third.address}`, place)
  narrator.tell(first.name, `on ${company.nameOf(place)}, at ${place ?? ''}`)
  await whereabouts(clients, company, cast)
  narrator.proof(`each of the ${clients.length} is found where it is, by the servers that do not hold it`)
}

async function forward({ clients, narrator }: Stage, [first, , third]: Cast): Promise<void> {
  const guest = guestOf(clients, third)
  const said = { from: first.name, text: `for ${guest.name} only`, alone: true }
  const heard = hoped(`${guest.name} to hear it`, once(guest, 'said', { within: PATIENCE, filter: one => same(one as Said, said) }))
  heard.catch(() => undefined)
  narrator.tell(first.name, `forwards "${said.text}" to spark ${guest.id}`)
  const result = await first.ask('forward', guest.id, { said })
  expect(result.ok && result.send === 1, `the result of the forward to be { ok: true, send: 1 }`, result)
  await heard
  narrator.tell(guest.name, `hears it, on ${third.name}`)
  await Promise.all(clients.map(client => client.roundTrip()))
  for (const client of clients) {
    const times = client.heard.filter(one => same(one, said)).length
    expect(times === (client === guest ? 1 : 0), `${guest.name} alone to hear it, and once`, `${client.name} heard it ${times} times`)
  }
  narrator.proof(`result ${JSON.stringify(result)}; nobody else heard it`)
}

async function broadcast({ clients, narrator }: Stage, cast: Cast): Promise<void> {
  const [, second] = cast
  const said = { from: second.name, text: 'hello, everybody', alone: false }
  const heard = Promise.all(clients.map(client =>
    hoped(`${client.name} to hear it`, once(client, 'said', { within: PATIENCE, filter: one => same(one as Said, said) }))))
  heard.catch(() => undefined)
  narrator.tell(second.name, `broadcasts "${said.text}"`)
  const result = await second.ask('broadcast', { said })
  expect(result.ok && result.send === clients.length, `the result of the broadcast to be { ok: true, send: ${clients.length} }`, result)
  await heard
  await Promise.all(clients.map(client => client.roundTrip()))
  const counts = cast.map(actor => {
    const guests = clients.filter(({ at }) => at === actor.name)
    const times = guests.flatMap(({ heard }) => heard.filter(one => same(one, said))).length
    expect(times === guests.length, `each of the ${guests.length} clients of ${actor.name} to hear it once`, times)
    return `${times} on ${actor.name}`
  })
  narrator.proof(`result ${JSON.stringify(result)}; heard once by each: ${list(counts)}`)
}

async function crash({ clients, company, narrator }: Stage, [first, second, third]: Cast): Promise<void> {
  const survivors = [first, second] as const
  const orphans = clients.filter(({ at }) => at === third.name)
  const ids = orphans.map(({ id }) => id)
  const start = performance.now()
  const since = (): string => seconds(performance.now() - start)

  // Whoever waits before it begins misses nothing.
  const died = hoped(`the supervisor to tell of the death of ${third.name}`, once(company, 'death', {
    within: PATIENCE, filter: worker => (worker as WorkerEvent).pid === third.pid && (worker as WorkerEvent).signal === 'SIGKILL'
  }))
  const succeeded = hoped(`another ${third.name}`, once(company, 'enter', { within: PATIENCE, filter: actor => (actor as Actor).name === third.name }))
  const noticed = survivors.map(async actor => {
    const [, why] = await hoped(`${actor.name} to notice that ${third.name} has died`, once(actor, 'leave', {
      within: NOTICED + ALLOWANCE, filter: address => address === third.address
    }))
    expect(why === 'expired', `${actor.name} to be told that the lease of the old ${third.name} ran out`, why)
    narrator.tell(actor.name, `notices ${since()} after the kill: the old ${third.name} has left, '${String(why)}'`)
  })
  const named = new Set<string>()
  // The successor may be the one who does it.
  const swept = async (actor: Actor): Promise<void> => {
    await hoped(`somebody to clean up what ${third.name} left behind`, once(actor, 'reap', {
      within: NOTICED + ALLOWANCE + PATIENCE,
      filter: (address, sparks) => {
        if (address !== third.address) return false
        for (const id of sparks as string[]) named.add(id)
        return ids.every(id => named.has(id))
      }
    }))
    narrator.tell(actor.name, `cleans up what the old ${third.name} left behind: ${named.size} spark ids`)
  }
  const arrived = orphans.map(async client => {
    await hoped(`${client.name} to arrive elsewhere`, once(client, 'arrive', { within: PATIENCE }))
    narrator.tell(client.name, `is back at the same URL, on ${client.at}, ${since()} after the kill  (spark ${client.id})`)
  })
  const cleaned = Promise.any([...survivors.map(swept), succeeded.then(([successor]) => swept(successor as Actor))])
    .catch((error: unknown) => { throw (error as AggregateError).errors[0] })
  const all = Promise.all([succeeded, died, ...noticed, ...arrived, cleaned])
  all.catch(() => undefined)

  narrator.tell(third.name, `is killed with SIGKILL, and says goodbye to nobody  (pid ${third.pid})`)
  narrator.tell(
    'metroplex',
    `lease: ${LEASE}, so that peers notice within ${seconds(NOTICED)}; with the default lease of 15 s it would take up to 25 s`
  )
  third.kill()
  const [[found]] = await all
  const successor = found as Actor

  const cast = [...survivors, successor]
  expect(successor.address !== third.address, `the new ${third.name} to have an address of its own`, successor.address)
  for (const actor of cast) {
    await acquainted(actor, cast)
    const servers = await actor.ask('servers')
    const expected = cast.map(({ address }) => address)
    expect([...servers].sort().join() === [...expected].sort().join(), `${actor.name} to list ${list(expected)}`, servers)
    for (const id of ids) {
      const place = await actor.ask('spark', id)
      expect(place === null, `the old spark ${id} to be nowhere`, place)
    }
  }
  narrator.proof(`${list(cast.map(({ name }) => name))} list each other, and not the old ${third.name}; its ${ids.length} old sparks are nowhere`)
  await whereabouts(clients, company, cast)
  narrator.proof(`its clients are found again: ${list(orphans.map(({ name, at }) => `${name} on ${at}`))}`)
  await eventually(async () => await successor.ask('count') === clients.length, {
    within: PATIENCE, what: `a cluster of ${clients.length} sparks again`
  })
  narrator.proof(`the cluster has ${clients.length} sparks again, as the new ${successor.name} counts them  (pid ${successor.pid})`)
}

/** Each one has been told of the others, and of nobody else. */
async function acquainted(actor: Actor, cast: readonly Actor[]): Promise<void> {
  const others = cast.filter(other => other !== actor).map(({ address }) => address)
  await eventually(() => actor.peers.size === others.length && others.every(address => actor.peers.has(address)), {
    within: PATIENCE, what: `that ${actor.name} is told of ${list(others)}`
  })
}

/** Each client is found where it says it is, by every server but that one. New sparks are written soon, not at once. */
async function whereabouts(clients: readonly Client[], company: Company, cast: readonly Actor[]): Promise<void> {
  await Promise.all(clients.flatMap(({ name, id, at }) => cast.filter(actor => actor.name !== at).map(actor => eventually(
    async () => await actor.ask('spark', id) === company.find(at).address,
    { within: PATIENCE, every: 50, what: `the lookup of ${name} by ${actor.name}, which should give the address of ${at},` }
  ))))
}

function guestOf(clients: readonly Client[], actor: Actor): Client {
  const guest = clients.findLast(({ at }) => at === actor.name)
  if (guest === undefined) throw new Error(`expected a client on ${actor.name}, but there is none`)
  return guest
}

function same(one: Said, other: Said): boolean {
  return one.from === other.from && one.text === other.text && one.alone === other.alone
}

/** Says what was expected, when it did not come. */
async function hoped<T>(what: string, promise: Promise<T>): Promise<T> {
  try {
    return await promise
  } catch (error) {
    throw new Error(`expected ${what}, but ${(error as Error).message}`, { cause: error })
  }
}

function expect(condition: boolean, what: string, found: unknown): void {
  if (!condition) throw new Error(`expected ${what}, but found: ${JSON.stringify(found)}`)
}
