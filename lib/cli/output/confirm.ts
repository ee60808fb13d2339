import { createInterface } from 'node:readline/promises'
import { CommandFailure, EXIT, misuse } from './failure'

/** Refuse something that needs a confirmation where there is neither `--yes` nor a terminal to ask on. */
export function mustConfirm(what: string, yes: true | undefined): void {
  if (!yes && !process.stdin.isTTY)
    throw misuse(`${what} has to be confirmed, and there is no terminal to ask on: add --yes.`)
}

/**
 * Ask before something that cannot be undone.
 *
 * @param yes whether the answer was given with the command: `--yes`
 * @throws CommandFailure when the answer is no
 */
export async function confirm(question: string, yes: true | undefined): Promise<void> {
  if (yes) return
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
