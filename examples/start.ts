/**
 * `npm start`: a cluster of three Primus servers, which a supervisor keeps running, that tells its story in the
 * terminal, checks each step of it, and serves a page with which browsers take part, and
 * the dashboard.
 */
import { keepRunning } from './demo/interactive'
import { flags, USAGE } from './demo/flags'
import { list, Output } from './demo/output'
import { signal, SIGNALS } from './demo/signals'
import { LEASE, Run } from './demo/run'
import { tell } from './demo/story'

/** The ports of the page and of the dashboard, if they are free. */
const [PORT, OPERATING] = [8080, 8090]

async function main(): Promise<number> {
  const { once, help, unknown } = flags(process.argv.slice(2))
  if (unknown !== undefined) {
    process.stderr.write(`npm start does not know ${unknown}.\n${USAGE}`)
    return 2
  }
  if (help) {
    process.stdout.write(USAGE)
    return 0
  }

  const output = new Output('supervisor'.length)
  const run = new Run(output)
  const interrupted = signal()
  try {
    const story = play(run, once)
    // The interrupted step fails, which is no error.
    story.catch(() => undefined)
    const ended = await Promise.race([story, interrupted])
    if (ended === undefined) return 0
    output.tell('you', `sent ${ended}: all parts end`)
    return once ? SIGNALS[ended] : 0
  } catch (error) {
    output.alarm((error as Error).message)
    return 1
  } finally {
    await run.close()
    output.tell('the end', 'nothing is left behind')
  }
}

/** Resolves at the end of the story; without `once` never. */
async function play(run: Run, once: boolean): Promise<undefined> {
  const { output } = run
  output.tell('metroplex', `runs with lease: ${LEASE} here, to be quick; the default is 15000 ms`)
  await run.build()
  await tell(run)
  if (once) return undefined
  const url = await keepRunning(run, PORT)
  if (!url.endsWith(`:${PORT}`)) output.tell('page', `port ${PORT} is taken`)
  output.tell('page', `open ${url} in two tabs: they are on two servers, say on which, and talk to each other`)
  output.tell('page', `open ${(await run.operate(OPERATING)).url} to see and operate the cluster: the dashboard`)
  output.tell(
    'page',
    `kill a server: its tab reconnects, and a successor takes its name: ${list(
      run.group.active.map(({ name, pid }) => `kill -9 ${pid} (${name})`),
      'or'
    )}`
  )
  output.tell('page', 'Ctrl-C ends it all')
  return new Promise(() => undefined)
}

main().then(
  // Steps that are still waiting are of no interest any more.
  code => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`${(error as Error).message}\n`)
    process.exit(1)
  }
)
