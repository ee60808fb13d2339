#!/usr/bin/env node
import { Command, CommanderError } from 'commander'
import { VERSION } from '../reporting/version'
import { ping } from './commands/look/ping'
import { ps } from './commands/workers/ps'
import { recycle, scale } from './commands/workers/orders'
import { run } from './commands/workers/run'
import { balance } from './commands/act/balance'
import { call } from './commands/act/call'
import { check } from './commands/judge/check'
import { doctor } from './commands/judge/doctor'
import { dashboardCommand } from './commands/page/dashboard'
import { drain } from './commands/act/drain'
import { group, spark, user } from './commands/look/find'
import { end, send } from './commands/act/send'
import { servers } from './commands/look/servers'
import { sparks } from './commands/look/sparks'
import { trace } from './commands/look/trace'
import { watch } from './commands/look/watch'
import { EXIT, explained } from './output/failure'
import { printable } from './output/printable'

const program = new Command('metroplex')
  .description('Many Primus servers as one.')
  .version(VERSION)
  .exitOverride()
  .addHelpText(
    'after',
    `
Examples:
  $ metroplex servers --redis redis://10.0.0.1:6379 --namespace chat
  $ metroplex doctor
  $ metroplex run server.js --workers 4`
  )

const GROUPS: readonly (readonly [heading: string, commands: readonly Command[]])[] = [
  ['Running workers:', [run, ps, scale, recycle]],
  ['Looking at a cluster:', [servers, spark, user, group, sparks, ping, trace, watch, dashboardCommand]],
  ['Judging it:', [check, doctor]],
  ['Acting on it:', [send, end, call, drain, balance]]
]

for (const [heading, commands] of GROUPS) for (const one of commands) program.addCommand(one.helpGroup(heading))

// The reader has heard enough, as `head` has after some lines. `run` ends its workers first.
if (process.argv[2] !== 'run')
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    process.exit()
  })

program.parseAsync().catch((error: unknown) => {
  // commander throws for help and version too. For any other error it has printed the message.
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? EXIT.OK : misused()
    return
  }
  const { exitCode, sentence } = explained(error)
  process.stderr.write(`${printable(sentence)}\n`)
  process.exitCode = exitCode === EXIT.USAGE ? misused() : exitCode
})

/** To a monitoring system, 2 says that the cluster is in trouble. So in `check` a wrong command line is "unknown". */
function misused(): number {
  return process.argv[2] === 'check' ? EXIT.CANNOT_ASK : EXIT.USAGE
}
