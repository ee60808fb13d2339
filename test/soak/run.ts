/**
 * The command `npm run soak`: servers, clients that come and go, and one fault after the other, for as long as one
 * likes.
 *
 * After each fault the registry has to be right in time, and no live server may have left. At the end the memory of the
 * servers that were never killed must not have grown. Exit code 1 when anything of it is not so.
 *
 * It runs without V8's optimizing compilers: what they write is on the heap as well, and grows for hours (0.13 MB a
 * minute, when it was looked at: heap snapshots four minutes apart differed in nothing else).
 */
import { parseArgs } from 'node:util'
import { Ground } from '../faults/ground'
import { Accidents } from '../support/accidents'
import { anySeed, command, say } from '../support/command'
import { startProxy } from '../support/proxy'
import { Crowd } from './crowd'
import { Dice } from '../support/dice'
import { accidents, type Accident, type Seat } from './faults'
import { slopeOf } from './slope'

/** The heap may grow by so much, in MB a minute, before it is called a leak: what V8 itself adds by and by. */
const STEEP = 0.03
/** What happens before is warming up, as a share of the whole. */
const WARM = 1 / 4
const MINUTE = 60_000

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    servers: { type: 'string', default: '4' },
    seed: { type: 'string', default: String(anySeed()) }
  }
})
const { gc } = globalThis as { gc?: () => void }
if (gc === undefined)
  throw new Error(
    'Start it with `npm run soak`, or with `node --expose-gc`: the servers have to be able to collect their garbage.'
  )

class Soak {
  readonly #dice = new Dice(Number(values.seed))
  readonly #seats: Seat[] = []
  readonly #crowd = new Crowd(this.#dice, () => this.#seats.filter(({ open }) => open).map(({ server }) => server))
  readonly #happened = new Map<string, number>()
  readonly #heaps: [minute: number, MB: number][] = []
  readonly #wrong: string[] = []
  readonly #accidents = new Accidents()
  /** The lives that peers may say have ended, and their addresses. */
  readonly #harmed = new Set<unknown>()
  #worst = 0
  #leaves = 0

  constructor(
    private readonly ground: Ground,
    private readonly minutes: number
  ) {}

  async run(): Promise<boolean> {
    this.#accidents.watch()
    for (let i = 0; i < Number(values.servers); i++) await this.#open(i > 1)
    const began = performance.now()
    const minute = (): number => (performance.now() - began) / MINUTE
    for (let told = 0; minute() < this.minutes && this.#wrong.length === 0;) {
      await this.#turn(this.#dice.one(accidents))
      this.#heaps.push([minute(), await this.#heap()])
      if (Math.floor(minute()) === told) continue
      told = Math.floor(minute())
      await this.#tell(minute())
    }
    await this.#tell(minute())
    this.#judge()
    await this.#crowd.end()
    for (const { server, proxy } of this.#seats) {
      this.#wrong.push(...server.crashes.map(String))
      await server.stop()
      await proxy.stop()
    }
    await this.ground.redis.stop()
    this.#wrong.push(...(await this.#accidents.take()).map(String))
    return this.#wrong.length === 0
  }

  /** One fault, while clients come and go; then everything has to be right. */
  async #turn(accident: Accident): Promise<void> {
    const seat = this.#dice.one(accident.mortal === true ? this.#seats.filter(({ mortal }) => mortal) : this.#seats)
    const victim = seat.server
    if (accident.deadly) this.#harmed.add(await victim.call('metroplex.id')).add(victim.address)
    const before = new Map(this.#seats.map(({ server }) => [server, server.log.length]))
    this.#happened.set(accident.name, (this.#happened.get(accident.name) ?? 0) + 1)
    this.#crowd.start()
    try {
      await accident.happen(seat, this.ground.redis, async one => {
        await this.#crowd.lose(one.server)
        one.server = await this.#start(one.proxy.port, one.server.port)
        one.open = true
      })
    } finally {
      await this.#crowd.stop()
    }
    const whole = performance.now()
    try {
      await this.ground.settled(...this.#seats.map(({ server }) => server))
    } catch (error) {
      this.#wrong.push(`${accident.name}: ${(error as Error).message}`)
    }
    this.#worst = Math.max(this.#worst, performance.now() - whole)
    for (const [server, from] of before) {
      for (const { event, args } of server.log.slice(from)) {
        if (event !== 'leave' && event !== 'reap') continue
        this.#leaves++
        const right = this.#harmed.has(event === 'leave' ? args[2] : args[0])
        if (!right)
          this.#wrong.push(
            `${accident.name} at ${victim.address}: ${server.address} told ${event} ` +
              args.map(String).join().slice(0, 100)
          )
      }
    }
  }

  async #open(mortal: boolean): Promise<void> {
    const proxy = await startProxy({ port: this.ground.redis.port })
    this.#seats.push({ server: await this.#start(proxy.port), proxy, mortal, open: true })
  }

  #start(redis: number, port = 0): Promise<Seat['server']> {
    return this.ground.start({}, { redis: { host: '127.0.0.1', port: redis, namespace: this.ground.space }, port })
  }

  /** What the servers that are never killed hold, after a collection, in MB. */
  async #heap(): Promise<number> {
    const heaps = await Promise.all(
      this.#seats
        .filter(({ mortal }) => !mortal)
        .map(({ server }) =>
          server.run(() => {
            ;(globalThis as unknown as { gc: () => void }).gc()
            return process.memoryUsage().heapUsed / 1e6
          })
        )
    )
    return heaps.reduce((sum, heap) => sum + heap, 0) / heaps.length
  }

  async #tell(minute: number): Promise<void> {
    const sparks = await this.ground.client.hlen(this.ground.key('sparks'))
    const faults = [...this.#happened.values()].reduce((sum, count) => sum + count, 0)
    say(
      `minute ${minute.toFixed(1)}: ${faults} faults, ${this.#crowd.came} clients came, ${sparks} are there, ` +
        `${this.#leaves} told of the dead, ` +
        `right after ${Math.round(this.#worst)} ms at most, heap ${(this.#heaps.at(-1)?.[1] ?? 0).toFixed(1)} MB`
    )
  }

  #judge(): void {
    const warm = this.#heaps.filter(([minute]) => minute > this.minutes * WARM)
    if (warm.length < 3) {
      this.#wrong.push(`the heap was measured ${warm.length} times only: let it run for longer`)
      return
    }
    const { slope, error } = slopeOf(warm)
    const steep = slope - 2 * error > STEEP
    say(`heap: ${slope.toFixed(3)} MB a minute, give or take ${(2 * error).toFixed(3)}; allowed ${STEEP}`)
    if (steep) this.#wrong.push(`the heap grows by ${slope.toFixed(3)} MB a minute`)
  }

  /** What was not as it should have been, and what happened. */
  get report(): string[] {
    return [
      ...[...this.#happened].map(([name, count]) => `${name}: ${count}`).sort(),
      ...(this.#wrong.length === 0 ? ['all was right'] : this.#wrong.map(wrong => `WRONG: ${wrong}`))
    ]
  }
}

async function main(): Promise<number> {
  const minutes = Number(values.minutes)
  if (!(minutes > 0)) {
    process.stderr.write(`--minutes must be a number above 0; given: ${values.minutes}\n`)
    return 2
  }
  say(`${values.minutes} minutes, ${values.servers} servers, --seed ${values.seed}`)
  const soak = new Soak(await Ground.make(true), minutes)
  const right = await soak.run()
  for (const line of soak.report) say(line)
  return right ? 0 : 1
}

command(main)
