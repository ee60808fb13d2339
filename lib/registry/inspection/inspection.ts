import { now } from '../../common/async'
import { isReply, type MetroplexError } from '../../common/errors'
import { asLife, asText, LIFE, paired } from '../decoding'
import type { Keys } from '../keys'
import type { Page, LifeRecord } from '../records'
import type { CommandRunner } from '../command-runner'

/** What one registry knows of a server, dead or alive. */
export interface ServerEntry {
  readonly address: string
  /** Whether it is on the list of servers. */
  readonly listed: boolean
  /** Whether it has a life, or something is left to clean up. */
  readonly kept: boolean
  /** `undefined` for a server of 1.x. */
  readonly record: LifeRecord | undefined
  /** How long its lease still lasts, in ms; 0 for none. */
  readonly left: number
  /** Its last beat in ms since 1970: by Redis's clock, for a server of 1.x by its own; `undefined`: unknown. */
  readonly beat: number | undefined
  /** The alive key is another one than that of its life: a server of 1.x was started at its address. */
  readonly superseded: boolean
  /** How many of its sparks, of these with a user, and of its groups lie in this registry. */
  readonly sparks: number
  readonly users: number
  readonly groups: number
}

/** What one registry knows of all servers. */
export interface RegistryOverview {
  /** Redis's clock, in ms since 1970. */
  readonly time: number
  /** How long Redis took to answer, in ms. */
  readonly took: number
  readonly servers: readonly ServerEntry[]
}

/** The servers that one round trip asks about. */
const AT_ONCE = 200
/** The entries of a page. */
const PAGE = 500

/** Reads a registry for operators, and writes nothing. A method rejects with `EREGISTRY` when Redis fails. */
export class Inspection {
  constructor(
    private readonly keys: Keys,
    private readonly redis: CommandRunner
  ) {}

  /** Into how many registries the cluster's registry is split; 0: no server has said so within a lease. */
  async layout(): Promise<number> {
    const layout = asText(await this.redis.run('GET', [this.keys.layout]))
    return Number(layout.split(' ')[1] ?? 0)
  }

  /** All servers, those that are being cleaned up included. */
  async overview(): Promise<RegistryOverview> {
    const began = now()
    const [listed, kept, time] = (await this.redis.pipeline([
      ['SMEMBERS', this.keys.servers],
      ['SMEMBERS', this.keys.lives],
      ['TIME']
    ])) as [string[], string[], [string | number, string | number]]
    const took = now() - began
    const lists = { listed: new Set(listed), kept: new Set(kept) }
    const addresses = [...new Set([...listed, ...kept])].sort()
    const servers: ServerEntry[] = []
    for (let first = 0; first < addresses.length; first += AT_ONCE)
      servers.push(...(await this.#entries(addresses.slice(first, first + AT_ONCE), lists)))
    return { time: Number(time[0]) * 1000 + Math.floor(Number(time[1]) / 1000), took, servers }
  }

  /** A page of all sparks and their addresses. The cursor is `'0'` before the first page and after the last. */
  async sparks(cursor: string): Promise<Page<readonly [id: string, address: string]>> {
    const [next, flat] = await this.redis.list('HSCAN', [this.keys.sparks, cursor, 'COUNT', PAGE])
    return { cursor: String(next), items: paired(flat) }
  }

  /** What Redis says of itself: the fields of INFO; none where it refuses to say. */
  async facts(): Promise<ReadonlyMap<string, string>> {
    const text = asText(await this.redis.run('INFO', []).catch(refusedAs('')))
    return new Map(
      text
        .split(/\r?\n/)
        .filter(line => line.includes(':'))
        .map(line => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)])
    )
  }

  /**
   * Which of these commands the user of this connection may not run on keys of the registry.
   *
   * @returns `undefined` where Redis does not say: before Redis 7
   */
  async forbidden(commands: readonly string[]): Promise<string[] | undefined> {
    const run = this.redis.run('EVAL', [CHECK, 1, this.keys.servers, ...commands])
    const refused = (error: unknown): unknown => (/NOPERM/.test(String(error)) ? ['eval'] : refusedAs(undefined)(error))
    return (await run.catch(refused)) as string[] | undefined
  }

  async #entries(
    addresses: readonly string[],
    { listed, kept }: { readonly listed: ReadonlySet<string>; readonly kept: ReadonlySet<string> }
  ): Promise<ServerEntry[]> {
    const { keys } = this
    const answers = await this.redis.pipeline(
      addresses.flatMap(address => [
        ['HMGET', keys.life(address), ...LIFE],
        ['HGET', keys.life(address), 'stamp'],
        ['PTTL', keys.lease(address)],
        ['GET', keys.alive(address)],
        ['SCARD', keys.sparksOf(address)],
        ['HLEN', keys.usersOf(address)],
        ['SCARD', keys.groupsOf(address)]
      ])
    )
    return addresses.map((address, i) => {
      const [life, stamp, left, alive, sparks, users, groups] = answers.slice(7 * i, 7 * i + 7)
      const [beat, record] = [asText(alive), asLife(life as (string | null)[])]
      const stamped = asText(stamp)
      return {
        address,
        listed: listed.has(address),
        kept: kept.has(address),
        record,
        left: Math.max(0, Number(left)),
        beat: /^\d+$/.test(beat || stamped) ? Number(beat || stamped) : undefined,
        superseded: record?.state === 'up' && beat !== '' && beat !== stamped,
        sparks: Number(sparks),
        users: Number(users),
        groups: Number(groups)
      }
    })
  }
}

/** A value for what Redis refuses to say; other failures stay failures. */
function refusedAs<T>(value: T): (error: unknown) => T {
  return error => {
    const { cause } = error as MetroplexError
    if (cause instanceof Error && isReply(cause)) return value
    throw error
  }
}

/** KEYS: a key of the registry. ARGV: commands. Returns those that the user may not run on that key. Writes nothing. */
const CHECK = `
if redis.acl_check_cmd == nil then
  return redis.error_reply('ERR acl_check_cmd is missing')
end
local refused = {}
for _, command in ipairs(ARGV) do
  local second = string.sub(command, 1, 4) == 'eval' and '0' or KEYS[1]
  local known, allowed = pcall(redis.acl_check_cmd, command, KEYS[1], second)
  if known and not allowed then
    table.insert(refused, command)
  end
end
return refused`
