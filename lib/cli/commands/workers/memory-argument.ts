import { InvalidArgumentError } from 'commander'
import { asError } from '../../../common/errors'
import { memoryOf } from '../../../supervisor/watch/byte-size'

/** Parses an amount of memory: `1gb`, `512mb`. @returns bytes @throws InvalidArgumentError that says what is allowed */
export function memorySize(given: string): number {
  try {
    return memoryOf('--memory', given)
  } catch (error) {
    throw new InvalidArgumentError(
      asError(error)
        .message.replace(/^metroplex: `--memory`/, 'It')
        .replace(/; given: .*$/, '.')
    )
  }
}
