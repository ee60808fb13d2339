import { deadline, eventually, once } from '../../test/support/wait'
import type { Said } from '../chat'
import type { Actor } from './actor'
import type { Client } from './client'
import { list, seconds } from './narrator'
import { LEASE, type Stage } from './stage'

/** How long one step may take, in ms. */
const PATIENCE = 10_000

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
  stage.narrator.scene('Three servers')
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
  const cast = [company.hire('websockets'), company.hire('sockjs'), company.hire('websockets')] as const
  const peers = new Map<Actor, Set<unknown>>()
  const acquainted = cast.map(async actor => {
    const known = new Set<unknown>()
    peers.set(actor, known)
    await hoped(`${actor.name} to be told of two others`, once(actor, 'join', { within: PATIENCE, filter: address => known.add(address).size === 2 }))
  })
  const all = Promise.all(acquainted)
  all.catch(() => undefined)
  await Promise.all(cast.map(async actor => {
    await actor.ready()
    narrator.tell(actor.name, `registered as ${actor.address}  (${actor.transformer}, pid ${actor.pid})`)
  }))
  await all
  for (const actor of cast) {
    const others = cast.filter(other => other !== actor).map(({ address }) => address)
    const known = [...peers.get(actor) ?? []]
    expect(others.every(address => known.includes(address)), `${actor.name} to be told of ${list(others)}`, known)
  }
  narrator.proof('each has been told of the two others')
  return cast
}

async function connect({ clients, narrator }: Stage, cast: Cast): Promise<void> {
  await Promise.all(cast.map(async (actor, turn) => {
    const guests = clients.filter((_client, number) => number % cast.length === turn)
    await Promise.all(guests.map(client => deadline(client.go(actor), PATIENCE, `the arrival of ${client.name} on ${actor.name}`)))
    for (const { name, at } of guests) expect(at === actor, `${name} to be on ${actor.name}`, at?.name)
    narrator.tell(actor.name, `${list(guests.map(({ name }) => name))} connected  (${actor.transformer})`)
  }))
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
  await whereabouts(clients, cast)
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
    const guests = clients.filter(({ at }) => at === actor)
    const times = guests.flatMap(({ heard }) => heard.filter(one => same(one, said))).length
    expect(times === guests.length, `each of the ${guests.length} clients of ${actor.name} to hear it once`, times)
    return `${times} on ${actor.name}`
  })
  narrator.proof(`result ${JSON.stringify(result)}; heard once by each: ${list(counts)}`)
}

async function crash({ clients, company, narrator }: Stage, [first, second, third]: Cast): Promise<void> {
  const survivors = [first, second] as const
  const orphans = clients.filter(({ at }) => at === third)
  const ids = orphans.map(({ id }) => id)
  const start = performance.now()
  const since = (): string => seconds(performance.now() - start)

  // Whoever waits before it begins misses nothing.
  const noticed = survivors.map(async actor => {
    const [, why] = await hoped(`${actor.name} to notice that ${third.name} has died`, once(actor, 'leave', {
      within: NOTICED + ALLOWANCE, filter: address => address === third.address
    }))
    expect(why === 'expired', `${actor.name} to be told that the lease of ${third.name} ran out`, why)
    narrator.tell(actor.name, `notices ${since()} after the kill: ${third.name} has left, '${String(why)}'`)
  })
  const named = new Set<string>()
  const swept = Promise.race(survivors.map(async actor => {
    await hoped(`${actor.name} or the other one to clean up what ${third.name} left behind`, once(actor, 'reap', {
      within: NOTICED + ALLOWANCE + PATIENCE,
      filter: (address, sparks) => {
        if (address !== third.address) return false
        for (const id of sparks as string[]) named.add(id)
        return ids.every(id => named.has(id))
      }
    }))
    narrator.tell(actor.name, `cleans up what ${third.name} left behind: ${named.size} spark ids`)
  }))
  const arrived = orphans.map(async client => {
    await hoped(`${client.name} to arrive elsewhere`, once(client, 'arrive', { within: PATIENCE }))
    narrator.tell(client.name, `arrives on ${client.at?.name ?? 'no server'}, ${since()} after the kill  (spark ${client.id})`)
  })
  const all = Promise.all([...noticed, ...arrived, swept])
  all.catch(() => undefined)

  narrator.tell(third.name, `is killed with SIGKILL, and says goodbye to nobody  (pid ${third.pid})`)
  narrator.tell(
    'metroplex',
    `lease: ${LEASE}, so that peers notice within ${seconds(NOTICED)}; with the default lease of 15 s it would take up to 25 s`
  )
  await third.kill()
  await all

  for (const actor of survivors) {
    const servers = await actor.ask('servers')
    const expected = survivors.map(({ address }) => address)
    expect([...servers].sort().join() === [...expected].sort().join(), `${actor.name} to list ${list(expected)}`, servers)
    for (const id of ids) {
      const place = await actor.ask('spark', id)
      expect(place === null, `the old spark ${id} to be nowhere`, place)
    }
  }
  narrator.proof(`${list(survivors.map(({ name }) => name))} list each other and no ${third.name}; its ${ids.length} old sparks are nowhere`)
  await whereabouts(clients, survivors)
  const guests = orphans.map(({ name, at }) => `${name} on ${company.nameOf(at?.address ?? null)}`)
  narrator.proof(`its clients are found again: ${list(guests)}`)
  await eventually(async () => await first.ask('count') === clients.length, {
    within: PATIENCE, what: `a cluster of ${clients.length} sparks again`
  })
  narrator.proof(`the cluster has ${clients.length} sparks again`)
}

/** Each client is found where it is, by every server but that one. New sparks are written soon, not at once. */
async function whereabouts(clients: readonly Client[], cast: readonly Actor[]): Promise<void> {
  await Promise.all(clients.flatMap(({ name, id, at }) => cast.filter(actor => actor !== at).map(actor => eventually(
    async () => await actor.ask('spark', id) === at?.address,
    { within: PATIENCE, every: 50, what: `the lookup of ${name} by ${actor.name}, which should give ${at?.address ?? ''},` }
  ))))
}

function guestOf(clients: readonly Client[], actor: Actor): Client {
  const guest = clients.findLast(({ at }) => at === actor)
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
