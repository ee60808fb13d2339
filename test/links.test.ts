import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { assume } from './support/assume'

const root = join(__dirname, '..', '..')

/** All documents, by their paths from the root. */
function documents(): string[] {
  const inFolder = (folder: string): string[] =>
    readdirSync(join(root, folder)).flatMap(name => (name.endsWith('.md') ? [join(folder, name)] : []))
  return [...inFolder('.'), ...inFolder('docs'), ...inFolder('examples'), ...inFolder('bench')]
}

/** A document without its blocks of code. */
function prose(file: string): string {
  return readFileSync(join(root, file), 'utf8').replace(/^```.*?^```/gms, '')
}

/** The anchors of a document's headings, as GitHub makes them. */
function anchorsOf(file: string): Set<string> {
  const seen = new Map<string, number>()
  const headings = [...prose(file).matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = '']) =>
    heading
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\p{M}_ -]/gu, '')
      .replaceAll(' ', '-')
  )
  return new Set(
    headings.map(anchor => {
      const times = seen.get(anchor) ?? 0
      seen.set(anchor, times + 1)
      return times === 0 ? anchor : `${anchor}-${times}`
    })
  )
}

/** What is wrong with a document's links that lead into the project: `file: link`. */
function broken(file: string): string[] {
  return [...prose(file).matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = '']) => {
    if (/^[a-z]+:/.test(link)) return []
    const [path = '', anchor] = link.split('#')
    const target = path === '' ? file : normalize(join(dirname(file), path))
    if (!existsSync(join(root, target))) return [`${file}: ${link}`]
    if (anchor === undefined || statSync(join(root, target)).isDirectory()) return []
    return anchorsOf(target).has(anchor) ? [] : [`${file}: ${link}`]
  })
}

describe('the links of the documents', () => {
  it('lead to files and headings that exist', () => {
    assume(documents().length).is.above(15)
    assume(documents().flatMap(broken)).eql([])
  })

  it('would be found broken', () => {
    assume(anchorsOf('README.md').has('do-i-need-it')).is.true()
    assume(anchorsOf('README.md').has('nothing-of-that')).is.false()
  })
})
