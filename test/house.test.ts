import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { assume } from './support/assume'

/** The sources, not what is compiled of them. */
const root = join(__dirname, '..', '..')

/** The rooms, lower floors first: an import may only go to a lower floor. */
const FLOORS: readonly (readonly string[])[] = [
  ['lib/common', 'lib/browser'],
  ['lib/reporting', 'lib/redis', 'lib/http', 'lib/supervisor', 'lib/lookup'],
  ['lib/registry', 'lib/transport'],
  ['lib/sync', 'lib/delivery', 'lib/rpc', 'lib/drain', 'lib/presence'],
  ['lib/membership', 'lib/groups', 'lib/rooms', 'lib/descriptions', 'lib/limits', 'lib/operations'],
  ['lib/shards'],
  ['lib/health'],
  ['lib/core'],
  ['lib/api', 'lib/metrics'],
  ['lib/plugin'],
  ['lib/survey'],
  ['lib/dashboard', 'lib/cli/output'],
  ['lib/cli/connect'],
  ['lib/cli/commands'],
  ['index', 'lib/cli']
]

/** The most files in one folder. None stands loose in `lib/`. */
const CROWDED = 14

/** A room is a folder of lib, a folder of the command, or a file that stands alone. */
function roomOf(file: string): string {
  const [top = '', room = '', part = '', ...rest] = file.split('/')
  if (top !== 'lib') return top
  return room === 'cli' && rest.length > 0 ? `lib/cli/${part}` : `lib/${room}`
}

function floorOf(room: string): number {
  return FLOORS.findIndex(rooms => rooms.includes(room))
}

function sources(): string[] {
  const lib = readdirSync(join(root, 'lib'), { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.ts'))
  return ['index.ts', ...lib.map(file => `lib/${file}`)]
}

/** What a file imports of ours, as paths from the root, without endings. */
function imports(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8')
  return [...text.matchAll(/(?:from|import\(|require\()\s*'(\.[^']*)'/g)].map(([, path = '']) =>
    relative(root, normalize(join(root, dirname(file), path)))
  )
}

/** What is wrong with an import, if anything. */
function breach(from: string, to: string): string | null {
  const [a, b] = [roomOf(from.replace(/\.ts$/, '')), roomOf(to)]
  if (a === b) return null
  if (floorOf(b) === -1) return `${from} imports ${to}, which has no floor`
  if (floorOf(b) < floorOf(a)) return null
  return `${from} imports ${to}, which is ${floorOf(a) === floorOf(b) ? 'beside' : 'above'} it`
}

describe('the house', () => {
  it('has a floor for every room', () => {
    const homeless = sources().filter(file => floorOf(roomOf(file.replace(/\.ts$/, ''))) === -1)
    assume(homeless).deep.equals([])
  })

  it('lets imports go down only, and never sideways', () => {
    const breaches = sources()
      .flatMap(file => imports(file).map(to => breach(file, to)))
      .filter(found => found !== null)
    assume(breaches).deep.equals([])
  })

  it('detects an import that goes up, sideways or into an unknown room', () => {
    assume(breach('lib/registry/registry.ts', 'lib/api/metroplex')).includes('above')
    assume(breach('lib/delivery/local.ts', 'lib/rpc/calls')).includes('beside')
    assume(breach('lib/plugin/plugin.ts', 'lib/attic/rubbish')).includes('no floor')
    assume(breach('lib/cli/output/table.ts', 'lib/cli/commands/servers')).includes('above')
    assume(imports('index.ts').length).is.above(3)
  })

  it('has no crowded folder and no loose file', () => {
    const folders = new Map<string, number>()
    for (const file of sources()) folders.set(dirname(file), (folders.get(dirname(file)) ?? 0) + 1)
    assume([...folders].filter(([, files]) => files > CROWDED)).deep.equals([])
    assume(folders.get('lib')).equals(undefined)
  })

  it('loads ioredis at run time in one file, in another one for the command, and talks to Redis in one', () => {
    const loading = sources().filter(file =>
      /^import (?!type).*from 'ioredis'/m.test(readFileSync(join(root, file), 'utf8'))
    )
    assume(loading.sort()).deep.equals(['lib/cli/connect/redis-url.ts', 'lib/common/options.ts'])
    const talking = sources().filter(file => imports(file).includes('lib/registry/connection'))
    assume(talking).deep.equals(['lib/registry/registry.ts'])
  })
})
