import { type Source } from './sources'

/** The longest line of code and comments, in characters. */
export const WIDEST = 120
/** The longest file of `lib/`, in lines. */
export const LONGEST = 320

/** Lines that are too wide: `path:line: length`. The formatter breaks no strings. */
export function wide(files: readonly Source[]): string[] {
  return files.flatMap(({ path, text }) =>
    text.split('\n').flatMap((line, i) => {
      if (line.length <= WIDEST) return []
      return [`${path}:${i + 1}: ${line.length} characters`]
    })
  )
}

/** Files that are too long: `path: lines`. */
export function long(files: readonly Source[]): string[] {
  return files.flatMap(({ path, text }) => {
    const lines = text.split('\n').length - 1
    return lines > LONGEST ? [`${path}: ${lines} lines`] : []
  })
}
