import { type Source } from './sources'

/** Names that may be declared in two files, each with its reason. */
export const EXCEPTIONS: ReadonlyMap<string, string> = new Map()

const DECLARED = /^export (?:declare )?(?:abstract )?(?:async )?(?:class|interface|type|function\*?|const|enum) (\w+)/gm

/**
 * Exported names that more than one file declares: `name: file, file`. Entries of the package, `.mts`, only pass on.
 */
export function duplicates(files: readonly Source[]): string[] {
  const places = new Map<string, string[]>()
  for (const { path, text } of files) {
    if (path.endsWith('.mts')) continue
    const names = new Set([...text.matchAll(DECLARED)].map(([, name = '']) => name))
    for (const name of names) places.set(name, [...(places.get(name) ?? []), path])
  }
  return [...places]
    .filter(([name, paths]) => paths.length > 1 && !EXCEPTIONS.has(name))
    .map(([name, paths]) => `${name}: ${paths.join(', ')}`)
}
