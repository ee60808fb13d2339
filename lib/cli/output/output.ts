import { once } from 'node:events'
import { paintFor, type Paint } from './paint'
import { json } from './printable'

/** A width for files and pipes, and where a terminal does not say its own. */
const WIDTH = 80

/** Writes what a command answers: lines for people, or with `--json` one line of JSON. */
export class Output {
  readonly paint: Paint
  /** The characters of a line. */
  readonly width: number

  constructor(readonly json: boolean) {
    const { stdout, env } = process
    this.paint = paintFor(stdout, env)
    this.width = stdout.isTTY && stdout.columns > 0 ? stdout.columns : WIDTH
  }

  /** Whether it is a terminal, where a report can replace the last one. */
  get terminal(): boolean {
    return process.stdout.isTTY && !this.json
  }

  /** Write a report. @param lines are made only if they are needed */
  report(value: unknown, lines: () => readonly string[]): void {
    this.#write(this.json ? [json(value)] : lines())
  }

  /** Write a line for people; nothing with `--json`. */
  note(line: string): void {
    if (!this.json) this.#write([line])
  }

  /** Empty the terminal. */
  clear(): void {
    if (this.terminal) process.stdout.write('\x1b[H\x1b[2J\x1b[3J')
  }

  /** Write lines of any number, as fast as they are read. */
  async write(lines: readonly string[]): Promise<void> {
    if (lines.length > 0 && !process.stdout.write(`${lines.join('\n')}\n`)) await once(process.stdout, 'drain')
  }

  #write(lines: readonly string[]): void {
    if (lines.length > 0) process.stdout.write(`${lines.join('\n')}\n`)
  }
}
