/** What groups weigh in Redis, and what it costs to read on which servers one has sparks. */
import { now } from './harness/clock'
import { openMembers, opened, type Member } from './harness/members'
import { Observer } from './harness/observer'
import { namespace, type Measured, type Stage } from './harness/stage'
import type { Ran } from './harness/window'
import type { Work } from './harness/work'
import { ours } from './subjects'

const MEMBERS = require.resolve('./harness/members')
const [SERVERS, CROWD, SMALL, OF] = [20, 100_000, 10_000, 3]
/** So many groups are read together, because calls for one group share a read. */
const READ = 32
const GROUP = 'crowd'
/** The groups of each server. */
const LISTS = '*:groups'

export const groupSizes: Work = {
  name: 'group sizes',
  command: 'groups',
  ours: true,
  cast: () => ({ servers: 1 }),

  async *measure(stage, { ms, warm, size }) {
    const { sender, redis } = stage
    const [each, small] = [Math.ceil((CROWD / SERVERS) * size), Math.ceil(SMALL * size)]
    const settings = { subject: ours, redis: redis.target, namespace, options: {}, count: SERVERS }
    await sender.run(MEMBERS, openMembers, settings)
    await sender.run(__filename, connectEach, each)
    await stage.registered(each * SERVERS)
    const observer = new Observer(redis)
    await sender.run(__filename, enterSmall, small)
    const listed = await bytesOf(observer, LISTS)
    const bytes = (await bytesOf(observer, 'group:*')) + listed
    yield weighed(`groups of ${OF} on ${OF} servers`, small, bytes / small)
    await sender.run(__filename, enterCrowd, undefined)
    const crowd = (await bytesOf(observer, `group:${GROUP}`)) + (await bytesOf(observer, LISTS)) - listed
    yield weighed(`a group of ${each * SERVERS} on ${SERVERS} servers`, 1, crowd)
    await sender.run(__filename, enterRead, undefined)
    yield await reads(stage, observer, { ms, warm })
  }
}

function weighed(row: string, operations: number, bytes: number): Measured {
  return { row, operation: 'group', operations, failed: 0, cpu: {}, figures: { 'bytes of Redis a group': bytes } }
}

/**
 * The bytes of all keys with such names, with their entries in Redis's table of keys. What the whole process
 * uses also counts the buffers of clients, which come and go.
 */
async function bytesOf({ redis }: Observer, pattern: string): Promise<number> {
  const keys = await redis.keys(`${namespace}:${pattern}`)
  const each = await Promise.all(keys.map(key => redis.memory('USAGE', key, 'SAMPLES', 0)))
  return each.reduce<number>((sum, bytes) => sum + (bytes ?? 0), 0)
}

/** Reads where groups are that have sparks on all servers. How many sparks does not change what is read. */
async function reads(stage: Stage, observer: Observer, { ms, warm }: { ms: number; warm: number }): Promise<Measured> {
  let bytes = 0
  const measured = await stage.row({
    row: `where a group on ${SERVERS} servers is, ${READ} reads at a time`,
    operation: 'read',
    ms,
    warm,
    run: async ms => {
      const before = await observer.traffic()
      const ran = await stage.sender.run(__filename, read, ms)
      bytes = ((await observer.traffic()).bytes - before.bytes - before.own) / ran.operations
      return ran
    }
  })
  return { ...measured, figures: { 'bytes to and from Redis a read': bytes } }
}

/** Of each member, in their order. */
let ids: string[][] = []

/** In the process of the members: so many sparks connect to each of them. */
export function connectEach(count: number): void {
  ids = opened().map((member, of) => {
    const own = Array.from({ length: count }, (_, i) => `spark-${of}-of-member-${i}`)
    for (const id of own) member.connect({ id } as Parameters<Member['connect']>[0])
    return own
  })
}

/** In the same process: so many groups begin, each with a spark on three members. */
export function enterSmall(groups: number): Promise<void> {
  const on = opened().map((): string[] => [])
  for (let group = 0; group < groups; group++)
    for (let i = 0; i < OF; i++) on[(group + i) % on.length]?.push(`group ${String(group).padStart(8, '0')}`)
  return enterEach(on)
}

/** In the same process: groups to read begin, each with a spark on every member. */
export function enterRead(): Promise<void> {
  return enterEach(opened().map(() => toRead))
}

const toRead = Array.from({ length: READ }, (_, i) => `group to read ${i}`)

/** One spark of each member enters these groups. */
async function enterEach(groups: readonly string[][]): Promise<void> {
  await Promise.all(opened().map(async (member, at) => member.join?.(ids[at]?.[0] ?? '', groups[at] ?? [])))
}

/** In the same process: all sparks enter one group. */
export async function enterCrowd(): Promise<void> {
  await Promise.all(opened().map(async (member, at) => member.join?.(ids[at] ?? [], GROUP)))
}

/** In the same process: one member reads where these groups are, all of them within one turn of the event loop. */
export async function read(ms: number): Promise<Ran> {
  const [member] = opened()
  const ran: Ran = { operations: 0, failed: 0, began: now(), ended: 0 }
  while (now() - ran.began < ms) {
    await Promise.all(toRead.map(async group => member?.groups?.(group)))
    ran.operations += READ
  }
  return { ...ran, ended: now() }
}
