import { PassThrough } from 'node:stream'
import { lines } from '../../lib/supervisor/lines'
import { assume } from '../support/assume'
import { once } from '../support/wait'

describe('lines', () => {
  async function told(...written: (string | Buffer)[]): Promise<string[]> {
    const [from, all] = [new PassThrough(), [] as string[]]
    lines(from, line => { all.push(line) })
    const closed = once(from, 'close')
    for (const one of written) {
      from.write(one)
      await new Promise(setImmediate)
    }
    from.end()
    await closed
    return all
  }

  it('are told without their ends, also the last one, and however they came', async () => {
    assume(await told('one\ntw', 'o\r', '\n\nfo', 'ur')).eql(['one', 'two', '', 'four'])
  })

  it('may cut a character into two, which is told as one', async () => {
    const [head, tail] = [Buffer.from('é\n').subarray(0, 1), Buffer.from('é\n').subarray(1)]
    assume(await told(head, tail)).eql(['é'])
  })

  it('that do not end are told in pieces, never within a character', async () => {
    const pieces = await told('x'.repeat(65_535), '😀', 'y'.repeat(70_000))
    assume(pieces.map(({ length }) => length)).eql([65_535, 65_536, 4466])
    assume(pieces.join('')).equals(`${'x'.repeat(65_535)}😀${'y'.repeat(70_000)}`)
  })
})
