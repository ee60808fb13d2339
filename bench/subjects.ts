/** Metroplex, this or another: a plugin that makes many Primus servers one. */
export interface Plugin extends Named {
  readonly kind: 'primus'
  /** The module, as `require` finds it from any directory: a path, or a package. */
  readonly module: string
  /** Whether it forwards through omega-supreme, which then has to be loaded beside it. */
  readonly omega: boolean
}

/** socket.io, with one of its adapters for Redis. */
export interface SocketIo extends Named {
  readonly kind: 'socket.io'
  readonly adapter: 'plain' | 'sharded' | 'streams'
}

/** As little as can do a work: what is left of its cost when there is nothing on top. */
export interface Control extends Named {
  readonly kind: 'ioredis' | 'ws' | 'http'
  /** Of ioredis: whether one command asks for several ids. Of ws: whether one frame is made for all. @default false */
  readonly together?: boolean
}

interface Named {
  /** As it is called in results. */
  readonly name: string
  /** The works it can do, by their commands. @default all */
  readonly works?: readonly string[]
}

/** What is measured. Survives structured cloning, because servers are made of it elsewhere. */
export type Subject = Plugin | SocketIo | Control

/** This project, as it was built last. */
export const ours: Plugin = { name: 'this', kind: 'primus', module: require.resolve('../index'), omega: false }

/** What it is to be better than. */
export const former: Plugin = {
  name: '1.0.2',
  kind: 'primus',
  module: require.resolve('metroplex1'),
  omega: true,
  works: ['register', 'lookup', 'forward', 'trickle', 'sparks', 'broadcast', 'reap', 'heal', 'beats', 'memory']
}

const everyAdapter = ['lookup', 'forward', 'trickle', 'broadcast']

/** What others do it with. They need what `harness/packages` installs. */
export const peers: readonly SocketIo[] = [
  { name: 'socket.io plain', kind: 'socket.io', adapter: 'plain', works: [...everyAdapter, 'sparks', 'groups'] },
  { name: 'socket.io sharded', kind: 'socket.io', adapter: 'sharded', works: everyAdapter },
  { name: 'socket.io streams', kind: 'socket.io', adapter: 'streams', works: everyAdapter }
]

/** What none of them can be better than by much. */
export const controls: readonly Control[] = [
  { name: 'ioredis', kind: 'ioredis', works: ['lookup'] },
  { name: 'ioredis, 32 ids', kind: 'ioredis', works: ['lookup'], together: true },
  { name: 'http', kind: 'http', works: ['forward'] },
  { name: 'ws send', kind: 'ws', works: ['broadcast'] },
  { name: 'ws frame', kind: 'ws', works: ['broadcast'], together: true }
]

/** All of them; the first is what the others are compared with. */
export const subjects: readonly Subject[] = [ours, former, ...peers, ...controls]

/** Whether a subject can do a work. */
export function does({ works }: Subject, work: { name: string; command?: string; ours?: boolean }): boolean {
  const { name, command = name, ours = false } = work
  return works === undefined || (!ours && works.includes(command))
}
