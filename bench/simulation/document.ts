/**
 * Fills the blocks of a document, which begin with `<!-- begin NAME -->` and end with `<!-- end NAME -->`, and leaves
 * all else as it is.
 *
 * @throws Error For a block that it lacks.
 */
export function filled(document: string, blocks: ReadonlyMap<string, string>): string {
  let text = document
  for (const [name, content] of blocks) {
    const [begin, end] = [`<!-- begin ${name} -->`, `<!-- end ${name} -->`]
    const [from, to] = [text.indexOf(begin), text.indexOf(end)]
    if (from === -1 || to < from) throw new Error(`The document has no block '${name}'.`)
    text = `${text.slice(0, from + begin.length)}\n\n${content}\n\n${text.slice(to)}`
  }
  return text
}

/** What stands in a block of a document. */
export function blockOf(document: string, name: string): string {
  return new RegExp(`<!-- begin ${name} -->\\n\\n([^]*?)\\n\\n<!-- end ${name} -->`).exec(document)?.[1] ?? ''
}
