import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { PAGE_HTML } from './page-html'
import { PAGE_STYLE } from './page-style'

/** A file of the page, as it is sent. */
export interface PageFile {
  readonly type: string
  readonly body: string
}

let files: ReadonlyMap<string, PageFile> | undefined

/** All files of the page, by their paths: read once, and then served from memory. */
export function pageFiles(): ReadonlyMap<string, PageFile> {
  return (files ??= new Map([
    ['', { type: 'text/html', body: PAGE_HTML }],
    ['page.css', { type: 'text/css', body: PAGE_STYLE }],
    ...scripts()
  ]))
}

/** The modules of `page/`, which are compiled for browsers. */
function scripts(): [string, PageFile][] {
  const folder = join(__dirname, '..', 'page')
  return readdirSync(folder)
    .filter(name => name.endsWith('.mjs'))
    .map(name => [name, { type: 'text/javascript', body: unindented(readFileSync(join(folder, name), 'utf8')) }])
}

/** Without the indentation of the compiler, a sixth of the bytes. No string of the page spans lines. */
function unindented(script: string): string {
  return script.replace(/^ +/gm, '')
}
