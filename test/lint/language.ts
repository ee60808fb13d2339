import { sources, type Source } from './sources'

/** Pronouns for people. A part of a program is named instead: server, peer, caller, worker, client. */
const PRONOUNS = /\b(?:whoever|whom|nobody|somebody|everybody|anybody|whatever)\b/gi

/** How many of them the project may have in all. */
export const ALLOWED = 5

/** The sources and documents that are counted: all but these rules, which name the pronouns. */
export function counted(): Source[] {
  const folders = ['lib', 'test', 'bench', 'examples', 'docs']
  const files = ['index.ts', 'index.mts', 'README.md', 'PROTOCOL.md', 'CONTRIBUTING.md']
  return sources([...folders, ...files], ['.ts', '.mts', '.md']).filter(({ path }) => !path.startsWith('test/lint/'))
}

/** Every use of these pronouns: `path:line: word`. */
export function pronouns(files: readonly Source[]): string[] {
  return files.flatMap(({ path, text }) =>
    text.split('\n').flatMap((line, i) => [...line.matchAll(PRONOUNS)].map(([word]) => `${path}:${i + 1}: ${word}`))
  )
}
