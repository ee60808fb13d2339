import Mocha from 'mocha'
import { rows } from '.'
import { document } from './document'
import { figuresOf } from './measured'
import { median, worst, type Measure, type Row } from './row'

/** A reporter that tells of each run as it ends, and prints the table of all faults at the end. */
export default class Table extends Mocha.reporters.Base {
  readonly #failures = new Map<Row | undefined, string>()

  constructor(runner: Mocha.Runner, options?: Mocha.MochaOptions) {
    super(runner, options)
    runner.on(Mocha.Runner.constants.EVENT_TEST_PASS, (test: Mocha.Test) => {
      process.stderr.write(`  ok    ${test.title} (${test.duration ?? 0} ms)\n`)
    })
    runner.on(Mocha.Runner.constants.EVENT_TEST_FAIL, (test: Mocha.Test, error: Error) => {
      this.#failures.set(
        rows.find(({ id, fault }) => test.title.startsWith(`${id}, ${fault}: `)),
        error.message
      )
      process.stderr.write(`  FAIL  ${test.title}\n        ${error.message.replaceAll('\n', '\n        ')}\n`)
    })
    runner.on(Mocha.Runner.constants.EVENT_RUN_END, () => {
      process.stdout.write(`${this.#table().join('\n')}\n`)
      if (process.env['METROPLEX_FAULT_DOCUMENT'] !== undefined) this.#document()
    })
  }

  /** Rows that were provoked. */
  get #done(): Row[] {
    return rows.filter(row => figuresOf(row).some(figures => figures.length > 0) || this.#failures.has(row))
  }

  /** Write what was measured into docs/reliability.md, failures included. */
  #document(): void {
    const lines = this.#done.map(row => {
      const result = `${measured(row)}${this.#failures.has(row) ? ' **missed**' : ''}`
      return { id: row.id, fault: row.fault, line: `| ${[row.id, row.fault, row.promise, result].join(' | ')} |` }
    })
    document(rows, lines)
  }

  #table(): string[] {
    return [
      '| # | fault | promise | measured: median, worst | |',
      '| --- | --- | --- | --- | --- |',
      ...this.#done.map(row => {
        const verdict = this.#failures.has(row) ? 'FAIL' : 'pass'
        return `| ${[row.id, row.fault, row.promise, measured(row), verdict].join(' | ')} |`
      }),
      ...[...this.#failures].map(
        ([row, message]) => `\n${row === undefined ? 'A hook' : `${row.id}, ${row.fault}`}: ${message}`
      )
    ]
  }
}

function measured(row: Row): string {
  const all = figuresOf(row)
  return row.measures
    .map((measure, i) => {
      const figures = all[i] ?? []
      if (figures.length === 0) return `${measure.what}: nothing`
      return (
        `${measure.what} ${shown(median(figures), measure)}, ${shown(worst(measure, figures), measure)} ` +
        `(${limit(measure)})`
      )
    })
    .join('; ')
}

function shown(figure: number, { unit }: Measure): string {
  if (unit === 'ms' && figure >= 1000) return `${(figure / 1000).toFixed(2)} s`
  return `${figure >= 100 ? Math.round(figure).toLocaleString('en') : Number(figure.toPrecision(2))} ${unit}`
}

function limit(measure: Measure): string {
  const { atMost, atLeast } = measure
  return atMost === undefined ? `at least ${shown(atLeast ?? NaN, measure)}` : `at most ${shown(atMost, measure)}`
}
