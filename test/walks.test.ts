import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { assume } from './support/assume'

const root = join(__dirname, '..', '..')

/** The steps of the walks, each as one line. */
function steps(): string[] {
  const document = readFileSync(join(root, 'docs', 'architecture.md'), 'utf8')
  const [, section = ''] = /^## Walks$(.*?)^## /ms.exec(document) ?? []
  return [...section.matchAll(/^\d+\. .*(?:\n {3,}.*)*/gm)].map(([step]) => step.replace(/\s+/g, ' '))
}

/** Whether a source declares a function, a method or a script: `name`, or `Class.name`. */
function declares(source: string, name: string): boolean {
  const [member = '', owner] = name.split('.').reverse()
  if (owner === undefined) {
    return new RegExp(`^ *(?:export )?(?:async )?(?:function\\*? ${member}\\b|const ${member}\\b.* =)`, 'm').test(
      source
    )
  }
  const [body = ''] = new RegExp(`^(?:export )?(?:abstract )?class ${owner}\\b.*?^}`, 'ms').exec(source) ?? []
  const modifiers = '(?:(?:static|protected|override|readonly|async|get|set) )*\\*?'
  return new RegExp(`^  ${modifiers}${member}(?:<.*>)?(?:\\(| = )`, 'm').test(body)
}

/** What a step names that does not exist. */
function missing(step: string): string[] {
  const spans = [...step.matchAll(/`([^`]+)`/g)].map(([, span = '']) => span)
  const file = spans[0] ?? ''
  if (!/^[\w/-]+\.ts$/.test(file) || !existsSync(join(root, 'lib', file))) return [`${step}: it names no file first`]
  const source = readFileSync(join(root, 'lib', file), 'utf8')
  const names = spans.flatMap(span => (span.endsWith('()') ? [span.slice(0, -2)] : []))
  if (names.length === 0) return [`${step}: it names no function`]
  return names.filter(name => !declares(source, name)).map(name => `${file}: ${name}`)
}

describe('the walks in docs/architecture.md', () => {
  it('name files and functions that exist', () => {
    assume(steps().length).is.above(40)
    assume(steps().flatMap(missing)).eql([])
  })

  it('would be found wrong', () => {
    for (const step of [
      '`sync/writer.ts` `Writer.fly()`',
      '`sync/writer.ts` `fly()`',
      '`sync/flyer.ts` `fly()`',
      '`sync/writer.ts`'
    ])
      assume(missing(step)).has.length(1)
    assume(missing('`sync/writer.ts` `Writer.connect()`')).eql([])
  })
})
