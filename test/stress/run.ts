/**
 * The command `npm run stress`: numbered messages between three servers, while connections break, stand still and lose
 * answers, and while receivers are killed. Prints the seed and what came about. Exit code 1 when anything was lost,
 * doubled, overtaken, or not as it was reported.
 */
import { parseArgs } from 'node:util'
import { Ground } from '../faults/ground'
import { TRANSPORTS } from '../faults/passage'
import { anySeed, command, say, trial } from '../support/command'
import { stress } from './stress'

const { values } = parseArgs({
  options: {
    messages: { type: 'string', default: '100000' },
    faults: { type: 'string', default: '1000' },
    kills: { type: 'string', default: '20' },
    transport: { type: 'string', default: 'http' },
    seed: { type: 'string', default: String(anySeed()) },
    help: { type: 'boolean', default: false }
  }
})

async function main(): Promise<number> {
  if (values.help) {
    say('npm run stress -- [--messages 100000] [--faults 1000] [--kills 20] [--transport http|redis] [--seed 1]')
    return 0
  }
  const transport = TRANSPORTS.find(name => name === values.transport)
  const [seed, messages, faults, kills] = [values.seed, values.messages, values.faults, values.kills].map(Number)
  if (
    transport === undefined ||
    seed === undefined ||
    messages === undefined ||
    faults === undefined ||
    kills === undefined ||
    [seed, messages, faults, kills].some(value => !Number.isInteger(value) || value < 0)
  ) {
    say(`--messages, --faults, --kills and --seed must be whole numbers, --transport one of ${TRANSPORTS.join(', ')}.`)
    return 2
  }
  say(`seed ${seed}: ${messages} messages, ${faults} accidents, ${kills} killed, transport ${transport}`)
  return trial(seed, async () => stress(await Ground.make(true), { transport, seed, messages, faults, kills, say }))
}

command(main)
