import type { WorkerEvent } from 'metroplex/supervisor'
import { deadline, eventually, once } from '../../test/support/wait'
import type { Said } from '../chat'
import type { ServerProcess } from './server-process'
import type { Client } from './client'
import type { ServerGroup } from './servers'
import { list, seconds } from './output'
import { LEASE, type Run } from './run'

/** How long one step may take, in ms. */
const PATIENCE = 15_000

/** Within how many ms a crash is noticed, by the README. */
const NOTICED = (LEASE * 5) / 3

/** How much longer that may take on a busy machine, in ms. */
const ALLOWANCE = 3000

/**
 * Runs the story. Each step is checked before it is printed.
 *
 * @throws Error that says what was expected, when a step fails
 */
export async function tell(run: Run): Promise<void> {
  run.output.scene('Three servers, workers of a supervisor')
  const trio = await gather(run)
  run.output.scene('A dozen clients')
  await connect(run, trio)
  run.output.scene('One cluster')
  await lookUp(run, trio)
  await forward(run, trio)
  await broadcast(run, trio)
  run.output.scene('A crash')
  await crash(run, trio)
}

type Trio = readonly [ServerProcess, ServerProcess, ServerProcess]

async function gather({ group, output }: Run): Promise<Trio> {
  const [web, sockjs] = group.endpoints
  output.tell(
    'supervisor',
    `starts web-1 and web-2, which share ${web.url}  (${web.transformer}), and sockjs-1, at ${sockjs.url}`
  )
  await deadline(group.start(), PATIENCE, 'the readiness of all workers')
  const trio = [group.find('web-1'), group.find('sockjs-1'), group.find('web-2')] as const
  for (const server of trio) await waitForPeers(server, trio)
  output.proof('all are ready, and each has been told of the two others')
  return trio
}

async function connect({ clients, group, output }: Run, trio: Trio): Promise<void> {
  await Promise.all(
    group.endpoints.map(async endpoint => {
      // One after the other, so that node:cluster deals them out evenly.
      for (const client of clients.filter(one => one.endpoint === endpoint))
        await deadline(client.go(), PATIENCE, `the arrival of ${client.name} at ${endpoint.url}`)
    })
  )
  for (const server of trio) {
    const connected = clients.filter(({ at }) => at === server.name)
    expect(
      connected.length > 0,
      `some of the clients to be on ${server.name}`,
      clients.map(({ name, at }) => `${name} on ${at}`)
    )
    output.tell(
      server.name,
      `${list(connected.map(({ name }) => name))} connected to ${connected[0]?.endpoint.url ?? ''}`
    )
  }
  const [first] = trio
  await eventually(async () => (await first.ask('count')) === clients.length, {
    within: PATIENCE,
    what: `a cluster of ${clients.length} sparks, as ${first.name} counts them,`
  })
  output.proof(`the cluster has ${clients.length} sparks`)
}

async function lookUp({ clients, group, output }: Run, trio: Trio): Promise<void> {
  const [first, , third] = trio
  const recipient = clientOf(clients, third)
  output.tell(first.name, `where is ${recipient.name}, spark ${recipient.id}?`)
  const place = await first.ask('spark', recipient.id)
  expect(place === third.address, `the lookup of ${recipient.name} to give ${third.address}`, place)
  output.tell(first.name, `on ${group.nameOf(place)}, at ${place ?? ''}`)
  await waitForPlaces(clients, group, trio)
  output.proof(`each of the ${clients.length} is found where it is, by the servers that do not hold it`)
}

async function forward({ clients, output }: Run, [first, , third]: Trio): Promise<void> {
  const recipient = clientOf(clients, third)
  const said = { from: first.name, text: `for ${recipient.name} only`, alone: true }
  const heard = expected(
    `${recipient.name} to hear it`,
    once(recipient, 'said', { within: PATIENCE, filter: one => same(one as Said, said) })
  )
  heard.catch(() => undefined)
  output.tell(first.name, `forwards "${said.text}" to spark ${recipient.id}`)
  const result = await first.ask('forward', recipient.id, { said })
  expect(result.ok && result.send === 1, `the result of the forward to be { ok: true, send: 1 }`, result)
  await heard
  output.tell(recipient.name, `hears it, on ${third.name}`)
  await Promise.all(clients.map(client => client.roundTrip()))
  for (const client of clients) {
    const times = client.heard.filter(one => same(one, said)).length
    expect(
      times === (client === recipient ? 1 : 0),
      `${recipient.name} alone to hear it, and once`,
      `${client.name} heard it ${times} times`
    )
  }
  output.proof(`result ${JSON.stringify(result)}; no other client received it`)
}

async function broadcast({ clients, output }: Run, trio: Trio): Promise<void> {
  const [, second] = trio
  const said = { from: second.name, text: 'hello, all', alone: false }
  const heard = Promise.all(
    clients.map(client =>
      expected(
        `${client.name} to hear it`,
        once(client, 'said', { within: PATIENCE, filter: one => same(one as Said, said) })
      )
    )
  )
  heard.catch(() => undefined)
  output.tell(second.name, `broadcasts "${said.text}"`)
  const result = await second.ask('broadcast', { said })
  expect(
    result.ok && result.send === clients.length,
    `the result of the broadcast to be { ok: true, send: ${clients.length} }`,
    result
  )
  await heard
  await Promise.all(clients.map(client => client.roundTrip()))
  const counts = trio.map(server => {
    const connected = clients.filter(({ at }) => at === server.name)
    const times = connected.flatMap(({ heard }) => heard.filter(one => same(one, said))).length
    expect(
      times === connected.length,
      `each of the ${connected.length} clients of ${server.name} to hear it once`,
      times
    )
    return `${times} on ${server.name}`
  })
  output.proof(`result ${JSON.stringify(result)}; heard once by each: ${list(counts)}`)
}

async function crash({ clients, group, output }: Run, [first, second, third]: Trio): Promise<void> {
  const survivors = [first, second] as const
  const orphans = clients.filter(({ at }) => at === third.name)
  const ids = orphans.map(({ id }) => id)
  const start = performance.now()
  const since = (): string => seconds(performance.now() - start)

  // Listeners are added before the crash, so that no event is missed.
  const died = expected(
    `the supervisor to tell of the death of ${third.name}`,
    once(group, 'death', {
      within: PATIENCE,
      filter: worker => (worker as WorkerEvent).pid === third.pid && (worker as WorkerEvent).signal === 'SIGKILL'
    })
  )
  const succeeded = expected(
    `another ${third.name}`,
    once(group, 'enter', { within: PATIENCE, filter: server => (server as ServerProcess).name === third.name })
  )
  const noticed = survivors.map(async server => {
    const [, why] = await expected(
      `${server.name} to notice that ${third.name} has died`,
      once(server, 'leave', {
        within: NOTICED + ALLOWANCE,
        filter: address => address === third.address
      })
    )
    expect(why === 'expired', `${server.name} to be told that the lease of the old ${third.name} ran out`, why)
    output.tell(server.name, `notices ${since()} after the kill: the old ${third.name} has left, '${String(why)}'`)
  })
  const named = new Set<string>()
  // The successor may be the server that cleans up.
  const swept = async (server: ServerProcess): Promise<void> => {
    await expected(
      `a server to clean up what ${third.name} left behind`,
      once(server, 'reap', {
        within: NOTICED + ALLOWANCE + PATIENCE,
        filter: (address, sparks) => {
          if (address !== third.address) return false
          for (const id of sparks as string[]) named.add(id)
          return ids.every(id => named.has(id))
        }
      })
    )
    output.tell(server.name, `cleans up what the old ${third.name} left behind: ${named.size} spark ids`)
  }
  const arrived = orphans.map(async client => {
    await expected(`${client.name} to arrive elsewhere`, once(client, 'arrive', { within: PATIENCE }))
    output.tell(
      client.name,
      `is back at the same URL, on ${client.at}, ${since()} after the kill  (spark ${client.id})`
    )
  })
  const cleaned = Promise.any([
    ...survivors.map(swept),
    succeeded.then(([successor]) => swept(successor as ServerProcess))
  ]).catch((error: unknown) => {
    throw (error as AggregateError).errors[0]
  })
  const all = Promise.all([succeeded, died, ...noticed, ...arrived, cleaned])
  all.catch(() => undefined)

  output.tell(third.name, `is killed with SIGKILL, without a shutdown  (pid ${third.pid})`)
  output.tell(
    'metroplex',
    `lease: ${LEASE}, so that peers notice within ${seconds(NOTICED)}; ` +
      'with the default lease of 15 s it would take up to 25 s'
  )
  third.kill()
  const [[found]] = await all
  const successor = found as ServerProcess

  const trio = [...survivors, successor]
  expect(successor.address !== third.address, `the new ${third.name} to have an address of its own`, successor.address)
  for (const server of trio) {
    await waitForPeers(server, trio)
    const servers = await server.ask('servers')
    const expected = trio.map(({ address }) => address)
    expect(
      [...servers].sort().join() === [...expected].sort().join(),
      `${server.name} to list ${list(expected)}`,
      servers
    )
    for (const id of ids) {
      const place = await server.ask('spark', id)
      expect(place === null, `the old spark ${id} to be nowhere`, place)
    }
  }
  output.proof(
    `${list(trio.map(({ name }) => name))} list each other, and not the old ${third.name}; ` +
      `its ${ids.length} old sparks are nowhere`
  )
  await waitForPlaces(clients, group, trio)
  output.proof(`its clients are found again: ${list(orphans.map(({ name, at }) => `${name} on ${at}`))}`)
  await eventually(async () => (await successor.ask('count')) === clients.length, {
    within: PATIENCE,
    what: `a cluster of ${clients.length} sparks again`
  })
  output.proof(
    `the cluster has ${clients.length} sparks again, as the new ${successor.name} counts them  (pid ${successor.pid})`
  )
}

/** Waits until a server has been told of all others, and of no other address. */
async function waitForPeers(server: ServerProcess, trio: readonly ServerProcess[]): Promise<void> {
  const others = trio.filter(other => other !== server).map(({ address }) => address)
  await eventually(() => server.peers.size === others.length && others.every(address => server.peers.has(address)), {
    within: PATIENCE,
    what: `that ${server.name} is told of ${list(others)}`
  })
}

/** Waits until each client is found by every server that does not hold it. New sparks are written soon, not at once. */
async function waitForPlaces(
  clients: readonly Client[],
  group: ServerGroup,
  trio: readonly ServerProcess[]
): Promise<void> {
  await Promise.all(
    clients.flatMap(({ name, id, at }) =>
      trio
        .filter(server => server.name !== at)
        .map(server =>
          eventually(async () => (await server.ask('spark', id)) === group.find(at).address, {
            within: PATIENCE,
            every: 50,
            what: `the lookup of ${name} by ${server.name}, which should give the address of ${at},`
          })
        )
    )
  )
}

function clientOf(clients: readonly Client[], server: ServerProcess): Client {
  const client = clients.findLast(({ at }) => at === server.name)
  if (client === undefined) throw new Error(`expected a client on ${server.name}, but there is none`)
  return client
}

function same(one: Said, other: Said): boolean {
  return one.from === other.from && one.text === other.text && one.alone === other.alone
}

/** Adds what was expected to the error. */
async function expected<T>(what: string, promise: Promise<T>): Promise<T> {
  try {
    return await promise
  } catch (error) {
    throw new Error(`expected ${what}, but ${(error as Error).message}`, { cause: error })
  }
}

function expect(condition: boolean, what: string, found: unknown): void {
  if (!condition) throw new Error(`expected ${what}, but found: ${JSON.stringify(found)}`)
}
