import { createInterface } from 'node:readline/promises'
import { EXIT, CommandFailure, misuse } from './failure'

/**
 * Ask before something that cannot be undone. Without a terminal, nothing is asked and nothing is done.
 *
 * @param yes whether the answer was given with the command: `--yes`
 * @throws CommandFailure when the answer is no, and without a terminal
 */
export async function confirm(question: string, yes: boolean): Promise<void> {
  if (yes) return
  if (!process.stdin.isTTY) throw misuse(`${question} There is no terminal to ask on: add --yes to do it.`)
  const asking = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const closed = new Promise<string>(resolve => {
      asking.once('close', () => {
        resolve('')
      })
    })
    const answer = await Promise.race([asking.question(`${question} [y/N] `), closed])
    if (/^y(es)?$/i.test(answer.trim())) return
  } finally {
    asking.close()
  }
  throw new CommandFailure(EXIT.NOT_SO, 'Nothing was done.')
}
