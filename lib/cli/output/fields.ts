import type { Paint } from './paint'

/** Names and values as lines, the values below each other. A value that is `undefined` is left out. */
export function fields(pairs: Readonly<Record<string, string | undefined>>, paint: Paint): string[] {
  const shown = Object.entries(pairs).filter((pair): pair is [string, string] => pair[1] !== undefined)
  const width = Math.max(...shown.map(([name]) => name.length))
  return shown.map(([name, value]) => `${paint('dim', name.padEnd(width))}  ${value}`)
}
