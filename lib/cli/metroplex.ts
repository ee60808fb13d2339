#!/usr/bin/env node
import { Command, CommanderError } from 'commander'
import { VERSION } from '../version'
import { run } from './run'

/** What the command is called with is not what it can be called with. */
const MISUSED = 2

const program = new Command('metroplex')
  .description('Many Primus servers as one.')
  .version(VERSION)
  .exitOverride()
  .addCommand(run)

program.parseAsync().catch((error: unknown) => {
  // Help and version are told by such an error, too; of all others commander has said what is wrong.
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : MISUSED
    return
  }
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = error instanceof TypeError || error instanceof RangeError ? MISUSED : 1
})
