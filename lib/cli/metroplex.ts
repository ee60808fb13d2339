#!/usr/bin/env node
import { Command, CommanderError } from 'commander'
import { VERSION } from '../reporting/version'
import { run } from './run'

/** The exit code of a command line that cannot be understood. */
const MISUSED = 2

const program = new Command('metroplex')
  .description('Many Primus servers as one.')
  .version(VERSION)
  .exitOverride()
  .addCommand(run)

program.parseAsync().catch((error: unknown) => {
  // commander throws for help and version too. For any other error it has printed the message.
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : MISUSED
    return
  }
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = error instanceof TypeError || error instanceof RangeError ? MISUSED : 1
})
