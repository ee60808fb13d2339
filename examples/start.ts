/**
 * `npm start`: a cluster of three Primus servers, which a supervisor keeps running, that tells its story in the terminal, checks each step of it, and serves a page
 * with which browsers take part.
 */
import { carryOn } from './demo/encore'
import { flags, USAGE } from './demo/flags'
import { list, Narrator } from './demo/narrator'
import { signal, SIGNALS } from './demo/signals'
import { LEASE, Stage } from './demo/stage'
import { tell } from './demo/story'

/** Where the page is, unless somebody else is there. */
const PORT = 8080

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

  const narrator = new Narrator('supervisor'.length)
  const stage = new Stage(narrator)
  const interrupted = signal()
  try {
    const played = play(stage, once)
    // What it was about to do when it was interrupted fails, and need not be told.
    played.catch(() => undefined)
    const ended = await Promise.race([played, interrupted])
    if (ended === undefined) return 0
    narrator.tell('you', `say ${ended}: everybody goes home`)
    return once ? SIGNALS[ended] : 0
  } catch (error) {
    narrator.alarm((error as Error).message)
    return 1
  } finally {
    await stage.close()
    narrator.tell('the end', 'nothing is left behind')
  }
}

/** Resolves at the end of the story; without `once` never. */
async function play(stage: Stage, once: boolean): Promise<undefined> {
  const { narrator } = stage
  narrator.tell('metroplex', `runs with lease: ${LEASE} here, to be quick; the default is 15000 ms`)
  await stage.build()
  await tell(stage)
  if (once) return undefined
  const url = await carryOn(stage, PORT)
  if (!url.endsWith(`:${PORT}`)) narrator.tell('page', `port ${PORT} is taken`)
  narrator.tell('page', `open ${url} in two tabs: they are on two servers, say on which, and talk to each other`)
  narrator.tell('page', `kill one, and see its tab come back, and another one take its name: ${list(stage.company.playing.map(({ name, pid }) => `kill -9 ${pid} (${name})`), 'or')}`)
  narrator.tell('page', 'Ctrl-C ends it all')
  return new Promise(() => undefined)
}

main().then(
  // What is still waited for has no meaning any more.
  code => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`${(error as Error).message}\n`)
    process.exit(1)
  }
)
