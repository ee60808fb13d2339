import fc from 'fast-check'
import { histogramSamples, mergeFamilies, type Family } from '../../lib/common/exposition/family'
import { formatFamilies, negotiate } from '../../lib/common/exposition/format'
import { labelsOf } from '../../lib/common/exposition/own-labels'
import { Histogram } from '../../lib/reporting/histogram'
import { assume } from '../support/assume'
import { parse, valueOf } from './parse'

const one = (name: string, type: Family['type'], value = 1, labels: Record<string, string> = {}): Family => ({
  name,
  type,
  help: 'What it is.',
  samples: [{ labels, value }]
})

describe('the text formats of Prometheus', () => {
  it('have one spelling for each type', () => {
    const families = [
      one('a_info', 'info', 1, { version: '1' }),
      one('b_bytes', 'gauge', 2.5),
      one('c_seconds_total', 'counter', 3)
    ]
    assume(formatFamilies(families, 'text')).equals(
      [
        '# HELP a_info What it is.',
        '# TYPE a_info gauge',
        'a_info{version="1"} 1',
        '# HELP b_bytes What it is.',
        '# TYPE b_bytes gauge',
        'b_bytes 2.5',
        '# HELP c_seconds_total What it is.',
        '# TYPE c_seconds_total counter',
        'c_seconds_total 3',
        ''
      ].join('\n')
    )
    assume(formatFamilies(families, 'openmetrics')).equals(
      [
        '# HELP a What it is.',
        '# TYPE a info',
        'a_info{version="1"} 1',
        '# HELP b_bytes What it is.',
        '# TYPE b_bytes gauge',
        '# UNIT b_bytes bytes',
        'b_bytes 2.5',
        '# HELP c_seconds What it is.',
        '# TYPE c_seconds counter',
        '# UNIT c_seconds seconds',
        'c_seconds_total 3',
        '# EOF',
        ''
      ].join('\n')
    )
  })

  it('write the bounds of buckets as each format has them', () => {
    const samples = histogramSamples(
      {},
      {
        count: 3,
        sum: 1.5,
        buckets: [
          [0.5, 1],
          [2, 2]
        ]
      }
    )
    const family: Family = { name: 'd', type: 'histogram', help: 'Durations.', samples }
    assume(formatFamilies([family], 'text')).includes('d_bucket{le="2"} 2\nd_bucket{le="+Inf"} 3\nd_sum 1.5\nd_count 3')
    assume(formatFamilies([family], 'openmetrics')).includes('d_bucket{le="2.0"} 2\n')
  })

  it('carry any text as the value of a label, and any number', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.double({ noNaN: true }), (text, value) => {
        fc.pre(!/[\r\u2028\u2029]/.test(text))
        for (const format of ['text', 'openmetrics'] as const) {
          const written = formatFamilies([one('a', 'gauge', value, { text })], format)
          if (valueOf(written, 'a', { text }) !== value) return false
        }
        return true
      })
    )
  })

  it('are chosen by the header Accept', () => {
    const prometheus2 =
      'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,' +
      'text/plain;version=0.0.4;q=0.5,*/*;q=0.1'
    const prometheus3 =
      'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;' +
      'version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2'
    for (const accept of [prometheus2, prometheus3, 'application/openmetrics-text'])
      assume(negotiate(accept)).equals('openmetrics')
    const others = [
      undefined,
      '',
      '*/*',
      'text/html',
      'application/openmetrics-text;version=2.0.0',
      'application/openmetrics-text;version=1.0.0;q=0.2,text/plain;version=0.0.4;q=0.5',
      'application/openmetrics-text;q=0',
      ';;;=,,q=x'
    ]
    for (const accept of others) assume(negotiate(accept)).equals('text')
  })

  it('of several processes have each family once', () => {
    const merged = mergeFamilies([
      { families: [one('a', 'gauge', 1), one('b', 'counter', 2)], labels: { worker: 'web-1' } },
      { families: [one('b', 'gauge', 9), one('a', 'gauge', 3, { x: 'y' })], labels: { worker: 'web-2' } }
    ])
    assume(merged.map(({ name, samples }) => [name, samples])).eql([
      [
        'a',
        [
          { labels: { worker: 'web-1' }, value: 1 },
          { labels: { x: 'y', worker: 'web-2' }, value: 3 }
        ]
      ],
      // Of two types of one name, as two releases may have them, the first one stays.
      ['b', [{ labels: { worker: 'web-1' }, value: 2 }]]
    ])
  })

  it('take labels of an application that Prometheus takes, and refuse others in a sentence', () => {
    assume(labelsOf({ cluster: 'a', _b1: '' })).eql({ cluster: 'a', _b1: '' })
    assume(labelsOf(undefined)).eql({})
    for (const wrong of [
      null,
      [],
      'a',
      { 'a-b': '1' },
      { '1a': '1' },
      { __name__: 'x' },
      { le: '1' },
      { worker: '1' },
      { a: 1 }
    ])
      assume(() => labelsOf(wrong)).throws(/^metroplex: .+\.$/)
  })

  it('are read strictly by these tests', () => {
    const wrong = ['a 1', '# HELP a b\n# TYPE a gauge\na 1\na 1\n', '# HELP a b\n# TYPE a gauge\nb 1\n']
    for (const text of wrong) assume(() => parse(text)).throws()
  })
})

describe('a histogram', () => {
  it('counts each duration in the buckets whose bounds are not below it', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 400_000, noNaN: true }), { maxLength: 50 }), durations => {
        const histogram = new Histogram()
        for (const ms of durations) histogram.add(ms)
        const { count, sum, buckets } = histogram.totals
        const within = (bound: number): number => durations.filter(ms => ms / 1000 <= bound).length
        const off = Math.abs(sum - durations.reduce((all, ms) => all + ms / 1000, 0))
        return count === durations.length && off < 1e-6 && buckets.every(([bound, seen]) => seen === within(bound))
      })
    )
  })

  it('has bounds that are powers of two, so that native histograms have the same', () => {
    const bounds = new Histogram().totals.buckets.map(([bound]) => Math.log2(bound))
    assume(bounds).eql(Array.from({ length: 20 }, (_, i) => i - 14))
  })

  it('has quantiles that are accurate within a fifth', () => {
    const histogram = new Histogram()
    for (let ms = 1; ms <= 1000; ms++) histogram.add(ms)
    const { count, p50, p99, max } = histogram.snapshot
    assume([count, max]).eql([1000, 1000])
    assume(p50 >= 500 && p50 <= 600).is.true(String(p50))
    assume(p99 >= 990 && p99 <= 1000).is.true(String(p99))
  })

  it('adds up with others', () => {
    const [a, b] = [new Histogram(), new Histogram()]
    a.add(1)
    b.add(1_000_000)
    assume(Histogram.of([a, b]).snapshot.count).equals(2)
    assume(Histogram.of([a, b]).totals.sum).equals(1000.001)
    assume(Histogram.of([]).snapshot).eql({ count: 0, p50: 0, p99: 0, max: 0 })
  })
})
