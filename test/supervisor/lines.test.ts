import { PassThrough } from 'node:stream'
import { lines } from '../../lib/supervisor/process/lines'
import { assume } from '../support/assume'
import { once } from '../support/wait'

describe('lines', () => {
  async function told(...written: (string | Buffer)[]): Promise<string[]> {
    const [from, all] = [new PassThrough(), [] as string[]]
    lines(from, line => {
      all.push(line)
    })
    const closed = once(from, 'close')
    for (const one of written) {
      from.write(one)
      await new Promise(setImmediate)
    }
    from.end()
    await closed
    return all
  }

  it('are reported without their line ends, also the last one, however they arrived', async () => {
    assume(await told('one\ntw', 'o\r', '\n\nfo', 'ur')).eql(['one', 'two', '', 'four'])
  })

  it('may be split within a character, which is reported whole', async () => {
    const [head, tail] = [Buffer.from('é\n').subarray(0, 1), Buffer.from('é\n').subarray(1)]
    assume(await told(head, tail)).eql(['é'])
  })

  it('without an end are reported in pieces, never within a character', async () => {
    const pieces = await told('x'.repeat(65_535), '😀', 'y'.repeat(70_000))
    assume(pieces.map(({ length }) => length)).eql([65_535, 65_536, 4466])
    assume(pieces.join('')).equals(`${'x'.repeat(65_535)}😀${'y'.repeat(70_000)}`)
  })

  it('are never longer than a piece, however many came at once, and one that just fits is one', async () => {
    const [fits, long] = ['x'.repeat(65_536), 'y'.repeat(200_000)]
    assume((await told(`${fits}\r\n${long}\n`)).map(({ length }) => length)).eql([65_536, 65_536, 65_536, 65_536, 3392])
    assume((await told(fits, '\r', '\nnext\n')).map(({ length }) => length)).eql([65_536, 4])
    assume((await told(fits, '\n', 'next\n')).map(({ length }) => length)).eql([65_536, 4])
  })
})
