import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { assume } from './support/assume'

const root = join(__dirname, '..', '..')

/** The names in these export lists and declarations of a file, sorted. */
function exported(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8').replace(/\/\*[^]*?\*\/|\/\/.*$/gm, '')
  const lists = [...text.matchAll(/export (?:type|const) \{([^}]*)\}|export \{([^}]*)\}/g)]
    .flatMap(([, types = '', values = '']) => `${types},${values}`.split(','))
    .map(name => name.trim().replace(/^type /, ''))
    .filter(name => name !== '')
  const declared = [...text.matchAll(/export (?:type|interface) (\w+)\b/g)].map(([, name = '']) => name)
  return [...new Set([...lists, ...declared])].sort()
}

/** The values that `require` of an entry gives by name. */
const VALUES = ['Metroplex', 'MetroplexError', 'client', 'createClient', 'server']

describe('the entries for `import`', () => {
  it('index.mts exports every type that index.ts exports', () => {
    // The constructor is the default export, `Metroplex` by name.
    const types = exported('index.ts').filter(name => name !== 'Constructor')
    assume([...new Set([...types, ...VALUES])].sort()).eql(exported('index.mts'))
    assume(types).includes('Transport')
  })

  it('metrics/index.mts exports what metrics/index.ts exports', () => {
    assume(exported('lib/metrics/index.mts')).eql(exported('lib/metrics/index.ts'))
  })

  it('rooms/index.mts exports what rooms/index.ts exports', () => {
    assume(exported('lib/rooms/index.mts')).eql(exported('lib/rooms/index.ts'))
  })

  it('supervisor/index.mts exports what supervisor/index.ts exports', () => {
    assume(exported('lib/supervisor/index.mts')).eql(exported('lib/supervisor/index.ts'))
  })
})
