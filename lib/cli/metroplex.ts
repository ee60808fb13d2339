#!/usr/bin/env node
import { Command, CommanderError } from 'commander'
import { VERSION } from '../reporting/version'
import { ping } from './commands/ping'
import { run } from './commands/run'
import { call } from './commands/call'
import { drain } from './commands/drain'
import { group, spark, user } from './commands/find'
import { end, send } from './commands/send'
import { servers } from './commands/servers'
import { sparks } from './commands/sparks'
import { watch } from './commands/watch'
import { EXIT, explained } from './output/failure'
import { printable } from './output/printable'

const program = new Command('metroplex')
  .description('Many Primus servers as one.')
  .version(VERSION)
  .exitOverride()
  .addCommand(run)

for (const command of [servers, spark, user, group, sparks, ping, watch, send, end, call, drain])
  program.addCommand(command)

program.parseAsync().catch((error: unknown) => {
  // commander throws for help and version too. For any other error it has printed the message.
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? EXIT.OK : EXIT.USAGE
    return
  }
  const { exitCode, sentence } = explained(error)
  process.stderr.write(`${printable(sentence)}\n`)
  process.exitCode = exitCode
})
