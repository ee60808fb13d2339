import { styleText } from 'node:util'

/** Prints the story, one line per event: time, name, text. */
export class Output {
  readonly #start = performance.now()
  readonly #colour: boolean

  /** @param width of the longest name, in characters */
  constructor(
    private readonly width = 9,
    private readonly out: NodeJS.WriteStream = process.stdout
  ) {
    this.#colour = out.isTTY && !process.env['NO_COLOR']
  }

  /** Prints what a server, a client or another part did. */
  tell(who: string, what: string): void {
    this.#line('cyan', who, what)
  }

  /** Prints a check that succeeded. */
  proof(what: string): void {
    this.#line('green', 'checked', what)
  }

  /** Prints an error. */
  alarm(what: string): void {
    this.#line('red', 'FAILED', what)
  }

  /** Prints a heading. */
  scene(title: string): void {
    this.out.write(`\n${this.#paint('bold', title)}\n`)
  }

  #line(colour: Colour, who: string, what: string): void {
    const time = `+${seconds(performance.now() - this.#start)}`.padStart(8)
    this.out.write(`${this.#paint('dim', time)}  ${this.#paint(colour, who.padEnd(this.width))} ${what}\n`)
  }

  #paint(colour: Colour, text: string): string {
    return this.#colour ? styleText(colour, text) : text
  }
}

type Colour = 'cyan' | 'green' | 'red' | 'bold' | 'dim'

/** A duration in ms, as the story prints it: `1.24 s`. */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`
}

/** `a, b and c`. */
export function list(names: readonly string[], last = 'and'): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} ${last} ${names.at(-1) ?? ''}`
}
