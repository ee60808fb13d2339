import fc from 'fast-check'
import { BadFrame, frame, FrameReader, LINE_FRAME } from '../../lib/transport/http/frames'
import { assume } from '../support/assume'

interface Frame {
  readonly line: string
  readonly body: Buffer
}

/** All frames in these bytes, which come cut at these places. */
function read(bytes: Buffer, cuts: readonly number[], largest = 1_000_000): Frame[] {
  const reader = new FrameReader(largest)
  const found: Frame[] = []
  let line: string | undefined
  const step = (): boolean => {
    line ??= reader.line()
    if (line === undefined) return false
    const body = reader.body()
    if (body === undefined) return false
    found.push({ line, body: Buffer.from(body) })
    line = undefined
    return true
  }
  const places = [0, ...cuts.map(cut => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  for (const [at, place] of places.entries()) {
    reader.push(bytes.subarray(place, places[at + 1] ?? place))
    while (step());
  }
  assume(reader.partial).equals(line !== undefined)
  return found
}

function thrown(run: () => unknown): BadFrame {
  try {
    run()
  } catch (error) {
    if (error instanceof BadFrame) return error
    throw error
  }
  throw new Error('nothing was thrown')
}

describe('frames', () => {
  const lines = fc.string({
    unit: fc.integer({ min: 0x20, max: 0x7e }).map(code => String.fromCharCode(code)),
    maxLength: LINE_FRAME - 1
  })
  const bodies = fc.uint8Array({ maxLength: 40_000 }).map(bytes => Buffer.from(bytes))

  it('are read as they were written, however they are cut on their way', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ line: lines, body: bodies }), { maxLength: 5 }),
        fc.array(fc.nat(), { maxLength: 20 }),
        (frames, cuts) => {
          const bytes = Buffer.concat(frames.flatMap(({ line, body }) => frame(line, body)))
          assume(read(bytes, cuts)).deep.equals(frames)
        }
      ),
      { numRuns: 200 }
    )
  })

  it('are read when every byte comes alone', () => {
    const frames = [
      { line: 'one', body: Buffer.from('\n\n') },
      { line: '', body: Buffer.alloc(0) },
      { line: 'x'.repeat(LINE_FRAME - 1), body: Buffer.alloc(300, 7) }
    ]
    const bytes = Buffer.concat(frames.flatMap(({ line, body }) => frame(line, body)))
    assume(
      read(
        bytes,
        Array.from({ length: bytes.length }, (_, at) => at)
      )
    ).deep.equals(frames)
  })

  it('can be skipped, and the next one is read', () => {
    const reader = new FrameReader(1000)
    reader.push(Buffer.concat(frame('first', Buffer.alloc(1000, 1))).subarray(0, 500))
    assume(reader.line()).equals('first')
    reader.skip()
    assume(reader.line()).equals(undefined)
    reader.push(
      Buffer.concat([
        Buffer.concat(frame('first', Buffer.alloc(1000, 1))).subarray(500),
        ...frame('second', Buffer.from('body'))
      ])
    )
    assume(reader.line()).equals('second')
    assume(reader.body()).deep.equals(Buffer.from('body'))
    assume(reader.partial).is.false()
  })

  it('give their line out before their body has come', () => {
    const reader = new FrameReader(1000)
    const [bytes = Buffer.alloc(0)] = frame('line', Buffer.alloc(100))
    reader.push(bytes.subarray(0, 9))
    assume(reader.line()).equals('line')
    assume(reader.body()).equals(undefined)
    assume(reader.partial).is.true()
  })

  it('are refused by their first four bytes when they are too large', () => {
    const reader = new FrameReader(1000)
    const length = Buffer.alloc(4)
    length.writeUInt32BE(1000 + LINE_FRAME + 1)
    reader.push(length)
    assume(thrown(() => reader.line()).tooLarge).is.true()
  })

  it('are refused when the body alone is too large', () => {
    const reader = new FrameReader(1000)
    reader.push(Buffer.concat(frame('line', Buffer.alloc(1001))).subarray(0, 20))
    assume(thrown(() => reader.line()).tooLarge).is.true()
  })

  it('are refused when they begin with no line, or with one that is too long', () => {
    const bytes = (length: number, text: string): Buffer => {
      const start = Buffer.alloc(4)
      start.writeUInt32BE(length)
      return Buffer.concat([start, Buffer.from(text)])
    }
    for (const bad of [bytes(0, ''), bytes(3, 'abc\n'), bytes(10_000, 'x'.repeat(LINE_FRAME))]) {
      const reader = new FrameReader(1_000_000)
      reader.push(bad)
      assume(thrown(() => reader.line()).tooLarge).is.false()
    }
  })

  it('are not written with a line that would not be read as one', () => {
    for (const line of ['two\nlines', 'ümlaut', 'x'.repeat(LINE_FRAME), '\0'])
      assume(() => frame(line, Buffer.alloc(0))).throws(RangeError)
  })

  it('survive any bytes: they are read, refused, or awaited', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 20 }), chunks => {
        const reader = new FrameReader(100)
        try {
          for (const chunk of chunks) {
            reader.push(Buffer.from(chunk))
            while (reader.line() !== undefined && (reader.body()?.length ?? 101) <= 100);
          }
        } catch (error) {
          assume(error).is.instanceOf(BadFrame)
        }
      }),
      { numRuns: 500 }
    )
  })
})
