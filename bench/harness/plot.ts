/** An axis of a plot. */
export interface Axis {
  /** What is counted, and its unit: `'bytes a spark'`. */
  readonly label: string
  /** Whether equal distances are equal ratios; then only what is above 0 can be drawn. @default false */
  readonly log?: boolean
}

/** One line of a plot. */
export interface Series {
  readonly name: string
  readonly points: readonly (readonly [x: number, y: number])[]
}

/** What is to be drawn. */
export interface Plot {
  readonly title: string
  readonly x: Axis
  readonly y: Axis
  readonly series: readonly Series[]
}

/** An axis that has been measured: where a value lies on it, from 0 to 1, and the values to write beside it. */
interface Scale {
  place(value: number): number
  readonly ticks: readonly number[]
}

const WIDTH = 720
/** The area in which lines are drawn. */
const BOX = { left: 76, top: 44, width: 616, height: 320 }
const LINE = 20

/** As dark on light, and as light on dark, as text has to be. */
const COLOURS: readonly (readonly [light: string, dark: string])[] = [
  ['#1f6fc9', '#6cb0ff'],
  ['#b8500a', '#f2a057'],
  ['#16794a', '#56cf95'],
  ['#8446bd', '#cda2f7'],
  ['#b3264c', '#fb8ba7'],
  ['#5b6470', '#aeb6c0']
]
/** So that lines are told apart without colours, too: the shape of each point, around (0, 0). */
const SHAPES = [
  'M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z',
  'M-3.5-3.5h7v7h-7z',
  'M0-5L4.5 3.5h-9z',
  'M0-5L5 0 0 5-5 0z',
  'M0 5L4.5-3.5h-9z',
  'M-4-1.2h2.8V-4h2.4v2.8H4v2.4H1.2V4h-2.4V1.2H-4z'
]

const style = (colour: 0 | 1): string =>
  [
    `.paper{fill:${colour === 0 ? '#ffffff' : '#0d1117'}}`,
    `text{fill:${colour === 0 ? '#24292f' : '#e6edf3'}}`,
    `.grid{stroke:${colour === 0 ? '#d8dee4' : '#30363d'}}`,
    ...COLOURS.map((pair, i) => `.s${i}{stroke:${pair[colour]}}.s${i}p{fill:${pair[colour]}}`)
  ].join('')

/**
 * Draws a picture of points and the lines between them, as the text of an SVG file.
 *
 * It has a ground of its own, light or dark as its reader has set the system, so that it can be read on any page.
 * Points are drawn in the order of x. Colours and shapes repeat after six series.
 *
 * @throws RangeError When there is nothing to draw, or something that cannot be: a number that is not finite, or one on
 *   a logarithmic axis that is not above 0.
 *
 * @example
 * const svg = plot({
 *   title: 'Reaping', x: { label: 'sparks', log: true }, y: { label: 'ms', log: true },
 *   series: [{ name: 'this', points: [[1e3, 4], [1e4, 38], [1e5, 402]] }]
 * })
 */
export function plot({ title, x, y, series }: Plot): string {
  const points = series.flatMap(({ points }) => points)
  if (points.length === 0) throw new RangeError(`There is nothing to draw in '${title}'.`)
  const across = scaleOf(
    x,
    points.map(([x]) => x)
  )
  const up = scaleOf(
    y,
    points.map(([, y]) => y)
  )
  const height = BOX.top + BOX.height + 56 + series.length * LINE
  const px = (value: number): string => round(BOX.left + across.place(value) * BOX.width)
  const py = (value: number): string => round(BOX.top + (1 - up.place(value)) * BOX.height)
  const bottom = BOX.top + BOX.height
  const right = BOX.left + BOX.width
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" ` +
      `role="img" aria-label="${escaped(title)}">`,
    '<style>text{font:13px system-ui,sans-serif}.title{font-size:16px;font-weight:600}.grid{stroke-width:1}' +
      `path.line{fill:none;stroke-width:2}${style(0)}@media(prefers-color-scheme:dark){${style(1)}}</style>`,
    `<rect class="paper" width="${WIDTH}" height="${height}" rx="6"/>`,
    `<text class="title" x="${BOX.left}" y="26">${escaped(title)}</text>`,
    ...across.ticks.map(
      tick =>
        `<path class="grid" d="M${px(tick)} ${BOX.top}V${bottom}"/><text x="${px(tick)}" y="${bottom + 18}" ` +
        `text-anchor="middle">${short(tick)}</text>`
    ),
    ...up.ticks.map(
      tick =>
        `<path class="grid" d="M${BOX.left} ${py(tick)}H${right}"/><text x="${BOX.left - 8}" y="${py(tick)}" dy="4" ` +
        `text-anchor="end">${short(tick)}</text>`
    ),
    `<text x="${BOX.left + BOX.width / 2}" y="${bottom + 40}" text-anchor="middle">${escaped(x.label)}</text>`,
    `<text transform="translate(18 ${BOX.top + BOX.height / 2}) rotate(-90)" ` +
      `text-anchor="middle">${escaped(y.label)}</text>`,
    ...series.map(({ name, points }, i) => {
      const colour = `s${i % COLOURS.length}`
      const mark = (x: string, y: string): string =>
        `<path class="${colour}p" transform="translate(${x} ${y})" d="${SHAPES[i % SHAPES.length] ?? ''}"/>`
      const sorted = [...points].sort(([a], [b]) => a - b)
      const line = sorted.map(([x, y], at) => `${at === 0 ? 'M' : 'L'}${px(x)} ${py(y)}`).join('')
      const legend = bottom + 62 + i * LINE
      return [
        `<path class="line ${colour}" d="${line}"/>`,
        ...sorted.map(([x, y]) => mark(px(x), py(y))),
        mark(String(BOX.left + 6), String(legend - 4)),
        `<text x="${BOX.left + 20}" y="${legend}">${escaped(name)}</text>`
      ].join('')
    }),
    '</svg>',
    ''
  ].join('\n')
}

/** An axis on which all of these have a place. */
function scaleOf({ label, log = false }: Axis, values: readonly number[]): Scale {
  const wrong = values.find(value => !Number.isFinite(value) || (log && value <= 0))
  if (wrong !== undefined) throw new RangeError(`'${label}' cannot be drawn: ${wrong} has no place on its axis.`)
  const low = Math.min(...values)
  const high = Math.max(...values)
  return log ? logarithmic(low, high) : linear(Math.min(0, low), high)
}

function logarithmic(low: number, high: number): Scale {
  const decades = { from: Math.floor(Math.log10(low)), to: Math.ceil(Math.log10(high)) }
  if (decades.from === decades.to) decades.to++
  const span = decades.to - decades.from
  // Few powers of ten leave room for more, many are more than fit.
  const within = span <= 2 ? [1, 2, 5] : [1]
  const step = Math.ceil(span / 10)
  const ticks: number[] = []
  for (let power = decades.from; power <= decades.to; power += step) {
    ticks.push(...within.map(one => Number(`${one}e${power}`)).filter(tick => tick <= Number(`1e${decades.to}`)))
  }
  return { place: value => (Math.log10(value) - decades.from) / span, ticks }
}

function linear(low: number, high: number): Scale {
  const rough = (high - low || 1) / 6
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = power * ([1, 2, 5].find(one => one * power >= rough) ?? 10)
  const first = Math.floor(low / step)
  const last = Math.max(Math.ceil(high / step), first + 1)
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)))
  return { place: value => (value / step - first) / (last - first), ticks }
}

/** A number in few signs: `0.05`, `200`, `10k`, `1M`. */
function short(value: number): string {
  const unit = [
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k']
  ].find(([size]) => Math.abs(value) >= Number(size))
  return unit === undefined ? String(value) : `${Number((value / Number(unit[0])).toPrecision(4))}${unit[1]}`
}

const round = (pixels: number): string => String(Math.round(pixels * 10) / 10)

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, sign => `&#${sign.charCodeAt(0)};`)
}
