import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** The project's folder; this file runs from `dist/test/lint`. */
export const root = join(__dirname, '..', '..', '..')

/** A text file of the project, by its path from the root. */
export interface Source {
  readonly path: string
  readonly text: string
}

/** All files below these files and folders whose names end so. */
export function sources(places: readonly string[], endings: readonly string[]): Source[] {
  return places
    .flatMap(place =>
      statSync(join(root, place)).isDirectory()
        ? readdirSync(join(root, place), { recursive: true, encoding: 'utf8' }).map(file => `${place}/${file}`)
        : [place]
    )
    .filter(path => endings.some(ending => path.endsWith(ending)) && !/(^|\/)node_modules\//.test(path))
    .map(path => ({ path, text: readFileSync(join(root, path), 'utf8') }))
}
