import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { killAtExit } from '../support/orphans'
import { using } from '../support/dispose'
import { withModules } from '../support/modules'
import { eventually } from '../support/wait'

const COMMAND = join(__dirname, '..', '..', 'lib', 'cli', 'metroplex.js')

/** What a command line has answered. */
export interface Answer {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  /** Its standard output, read as JSON. */
  readonly json: () => unknown
}

/** A command that runs. */
export interface Running {
  readonly ended: Promise<Answer>
  /** Its standard output so far. */
  text(): string
  /** Its standard error so far. */
  errors(): string
  said(pattern: RegExp): Promise<RegExpExecArray>
  signal(name: NodeJS.Signals): void
  /** Read its standard output no longer. */
  hangUp(): void
}

/** Start the command. No variable of our own environment that it knows is passed on. */
export function startCommand(args: readonly string[], env: NodeJS.ProcessEnv = {}): Running {
  const inherited = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(METROPLEX_|REDIS_URL|NO_COLOR|XDG_CONFIG_HOME)/.test(name))
  )
  const child = spawn(process.execPath, [COMMAND, ...args], {
    env: { ...inherited, ...withModules(), XDG_CONFIG_HOME: __dirname, ...env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  killAtExit(child)
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
  })
  const ended = new Promise<Answer>(resolve => {
    child.once('close', code => {
      resolve({ code, stdout, stderr, json: () => JSON.parse(stdout) as unknown })
    })
  })
  using(async () => {
    child.kill('SIGKILL')
    await ended
  })
  return {
    ended,
    text: () => stdout,
    errors: () => stderr,
    said: pattern =>
      eventually(
        () => {
          const found = pattern.exec(stdout)
          if (found === null && child.exitCode !== null) throw new Error(`it has ended:\n${stdout}${stderr}`)
          return found
        },
        { within: 20_000, what: `${String(pattern)} in what the command says` }
      ),
    signal: name => {
      child.kill(name)
    },
    hangUp: () => {
      child.stdout.destroy()
    }
  }
}

/** Run the command as a shell would, and wait for its end. */
export function metroplex(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Answer> {
  return startCommand(args, env).ended
}

/** The environment in which the command finds a cluster. */
export function at(url: string, space: string): NodeJS.ProcessEnv {
  return { REDIS_URL: url, METROPLEX_NAMESPACE: space }
}
