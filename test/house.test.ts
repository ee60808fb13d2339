import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { assume } from './support/assume'

/** The sources, not what is compiled of them. */
const root = join(__dirname, '..', '..')

/** Lower floors first: an import may only go to a lower one. */
const FLOORS: readonly (readonly string[])[] = [
  ['lib/types', 'lib/errors', 'lib/deadline', 'lib/callback', 'lib/address', 'lib/message', 'lib/courier', 'lib/contract', 'lib/options', 'lib/version', 'lib/stats', 'lib/result', 'lib/reports', 'lib/naming', 'lib/client-half', 'lib/checks'],
  ['lib/redis', 'lib/supervisor'],
  ['lib/registry', 'lib/transport'],
  ['lib/membership', 'lib/delivery', 'lib/cluster'],
  ['lib/core'],
  ['lib/asking'],
  ['lib/metroplex', 'lib/client'],
  ['lib/plugin'],
  ['index', 'lib/cli']
]

/** A room is a folder of lib, or a file that stands alone. */
function roomOf(file: string): string {
  const [top = '', room = ''] = file.split('/')
  return top === 'lib' ? `lib/${room}` : top
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
  return [...text.matchAll(/(?:from|import\(|require\()\s*'(\.[^']*)'/g)]
    .map(([, path = '']) => relative(root, normalize(join(root, dirname(file), path))))
}

/** What is wrong with an import, if anything. */
function breach(from: string, to: string): string | null {
  const [a, b] = [roomOf(from.replace(/\.ts$/, '')), roomOf(to)]
  if (a === b) return null
  if (floorOf(b) === -1) return `${from} imports ${to}, which has no floor`
  if (floorOf(b) < floorOf(a)) return null
  // Small and pure, and of one floor: they may know each other.
  if (floorOf(a) === 0 && floorOf(b) === 0) return null
  return `${from} imports ${to}, which is ${floorOf(a) === floorOf(b) ? 'beside' : 'above'} it`
}

describe('the house', () => {
  it('has a floor for every room', () => {
    const homeless = sources().filter(file => floorOf(roomOf(file.replace(/\.ts$/, ''))) === -1)
    assume(homeless).deep.equals([])
  })

  it('lets imports go down only, and never sideways', () => {
    const breaches = sources().flatMap(file => imports(file).map(to => breach(file, to))).filter(found => found !== null)
    assume(breaches).deep.equals([])
  })

  it('would notice an import that goes up, sideways or into the unknown', () => {
    assume(breach('lib/registry/writer.ts', 'lib/metroplex')).includes('above')
    assume(breach('lib/membership/reaper.ts', 'lib/delivery/local')).includes('beside')
    assume(breach('lib/plugin.ts', 'lib/attic/rubbish')).includes('no floor')
    assume(imports('index.ts').length).is.above(3)
  })

  it('has one file alone that knows ioredis at run time, and one that speaks to it', () => {
    const knowing = sources().filter(file => /^import (?!type).*from 'ioredis'/m.test(readFileSync(join(root, file), 'utf8')))
    assume(knowing).deep.equals(['lib/options.ts'])
    const speaking = sources().filter(file => imports(file).includes('lib/registry/connection'))
    assume(speaking).deep.equals(['lib/registry/registry.ts'])
  })
})
