import type { WriteStream } from 'node:tty'

const STYLES = { red: [31, 39], yellow: [33, 39], green: [32, 39], dim: [2, 22], bold: [1, 22] } as const

/** Colours a text, or leaves it as it is. */
export type Paint = (style: keyof typeof STYLES, text: string) => string

/** No colours. */
export const colourless: Paint = (_style, text) => text

/** Colours for a terminal. None for a file or pipe, with `NO_COLOR`, and for a terminal that is dumb. */
export function paintFor(stream: Pick<WriteStream, 'isTTY'>, env: NodeJS.ProcessEnv): Paint {
  const coloured = stream.isTTY && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb'
  return coloured
    ? (style, text) => (text === '' ? '' : `\x1b[${STYLES[style][0]}m${text}\x1b[${STYLES[style][1]}m`)
    : colourless
}
