import { plot, type Plot } from '../bench/harness/plot'
import { assume } from './support/assume'

const simple: Plot = {
  title: 'Costs & <sizes>',
  x: { label: 'sparks', log: true },
  y: { label: 'ms' },
  series: [
    {
      name: 'this',
      points: [
        [1000, 20],
        [1, 0],
        [10, 10]
      ]
    },
    { name: '1.0.2', points: [[1000, 5]] }
  ]
}

/** What is written in a picture. */
function words(svg: string): string[] {
  return [...svg.matchAll(/<text[^>]*>([^<]*)</g)].map(([, text = '']) => text)
}

/** Where the points of the line of a series are. */
function line(svg: string, series: number): number[][] {
  const [, path = ''] = new RegExp(`class="line s${series}" d="M([^"]*)"`).exec(svg) ?? []
  return path.split('L').map(point => point.split(' ').map(Number))
}

describe('a plot', () => {
  it('is one well-formed picture, in which its words stand as text', () => {
    const svg = plot(simple)
    assume(svg.startsWith('<svg xmlns="http://www.w3.org/2000/svg"')).is.true()
    assume(svg.trimEnd().endsWith('</svg>')).is.true()
    assume(svg).not.includes('<sizes>')
    const opened = [...svg.matchAll(/<(\w+)[^>]*?(\/?)>/g)]
      .filter(([, , closed]) => closed === '')
      .map(([, name]) => name)
    const closed = [...svg.matchAll(/<\/(\w+)>/g)].map(([, name]) => name)
    assume(opened.sort()).deep.equals(closed.sort())
    for (const word of ['Costs &#38; &#60;sizes&#62;', 'sparks', 'ms', 'this', '1.0.2'])
      assume(words(svg)).includes(word)
  })

  it('draws points from left to right, equal ratios as equal distances on a logarithmic axis', () => {
    const [[first = 0, bottom = 0] = [], [second = 0, middle = 0] = [], [third = 0, top = 0] = []] = line(
      plot(simple),
      0
    )
    assume(Math.round(third - second)).equals(Math.round(2 * (second - first)))
    assume(bottom - middle).equals(middle - top)
    assume(top).is.below(bottom)
  })

  it('writes round numbers beside its axes', () => {
    const far = words(
      plot({
        ...simple,
        series: [
          {
            name: 'far',
            points: [
              [1000, 0.5],
              [1_000_000, 2.4]
            ]
          }
        ]
      })
    )
    for (const tick of ['1k', '10k', '100k', '1M', '0', '0.5', '2.5']) assume(far).includes(tick)
    const near = words(
      plot({
        ...simple,
        series: [
          {
            name: 'near',
            points: [
              [2, 3],
              [50, 3000]
            ]
          }
        ]
      })
    )
    for (const tick of ['1', '2', '5', '10', '20', '50', '100', '0', '1k', '3k']) assume(near).includes(tick)
  })

  it('can be read on light and on dark ground', () => {
    assume(plot(simple)).includes('@media(prefers-color-scheme:dark)')
  })

  it('tells its points apart without colours', () => {
    const shapes = [...plot(simple).matchAll(/class="s\dp" transform="[^"]*" d="([^"]*)"/g)].map(([, shape]) => shape)
    assume(shapes).has.length(6)
    assume(new Set(shapes).size).equals(2)
  })

  it('draws a single point, and one that is always the same', () => {
    for (const points of [
      [[7, 0]],
      [
        [7, 5],
        [8, 5]
      ],
      [
        [10, -5],
        [100, 5]
      ]
    ] as const) {
      assume(plot({ ...simple, series: [{ name: 'one', points }] })).not.includes('NaN')
    }
  })

  it('refuses what cannot be drawn', () => {
    const drawing = (points: [number, number][]) => () => plot({ ...simple, series: [{ name: 'wrong', points }] })
    assume(drawing([])).throws("There is nothing to draw in 'Costs & <sizes>'.")
    assume(drawing([[0, 1]])).throws("'sparks' cannot be drawn: 0 has no place on its axis.")
    assume(drawing([[1, NaN]])).throws("'ms' cannot be drawn: NaN has no place on its axis.")
  })
})
