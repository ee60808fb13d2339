/** A worker that plays the part that its first argument names; the second one is what the part needs. */
import { fork } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { open } from 'node:inspector'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Supervisor, worker, type SupervisedWorker } from '../../../lib/supervisor'

const [, , part = '', detail = ''] = process.argv

/** Those that have nothing of ours. */
const strangers: Record<string, () => void> = {
  /** Works, says so as process managers have it, and never ends by itself. */
  deaf() {
    process.on('SIGTERM', () => undefined)
    process.send?.('ready')
  },
  /** Takes for ever to load. */
  loading() {
    setInterval(() => undefined, 1000)
    process.send?.('loading')
  }
}

/** What it was told to take, in bytes. */
const taken: Buffer[] = []

const parts: Record<string, (me: SupervisedWorker) => unknown> = {
  good(me) {
    me.ready()
  },
  /** Tells all messages that reach the application. */
  listening(me) {
    process.on('message', message => {
      me.send(message)
    })
    me.ready()
  },
  /** Takes so many bytes before it is ready. */
  fat(me) {
    taken.push(Buffer.alloc(Number(detail), 1))
    me.ready()
  },
  /** Has a debugger to which nothing is connected. */
  inspected(me) {
    open(0)
    me.ready()
  },
  /** Crashes at boot until there is a file. */
  broken(me) {
    if (existsSync(detail)) me.ready()
    else process.exit(3)
  },
  /** Is ready when there is a file, and else never. */
  choosy(me) {
    if (existsSync(detail)) me.ready()
    else me.send('waiting')
  },
  /** Is never ready. */
  mute(me) {
    me.onDrain(() => {
      me.send('told')
    })
    me.send('loaded')
  },
  /** Is ready only when it is told to be. */
  waiting(me) {
    process.on('message', message => {
      if (message === 'go') me.ready()
    })
  },
  /** Never comes to an end when it is told to. */
  hanging(me) {
    me.onDrain(terms => {
      me.send(terms)
      // Without anything to wait for the process would end by itself.
      return new Promise(() => {
        setInterval(() => undefined, 1000)
      })
    })
    me.ready()
  },
  /** Takes so many ms to end. */
  slow(me) {
    me.onDrain(() => sleep(Number(detail)))
    me.ready()
  },
  /** Comes to an end when it is told to, and is then told to again. */
  patient(me) {
    me.onDrain(
      () =>
        new Promise(resolve => {
          process.on('message', message => {
            if (message === 'end') resolve(undefined)
          })
        })
    )
    me.ready()
  },
  /** Says something every so many ms. */
  ticking(me) {
    setInterval(() => {
      me.send('tick')
    }, Number(detail))
    me.ready()
  },
  /** Fails when it is told to end. */
  failing(me) {
    me.onDrain(() => {
      throw new Error('nothing is at hand')
    })
    me.onDrain(() =>
      sleep(20).then(() => {
        me.send('second')
      })
    )
    me.ready()
  },
  /** Leaves a file behind, in a directory, when it has been told to end, and has taken a while for it. */
  witness(me) {
    me.onDrain(async () => {
      await sleep(100)
      writeFileSync(join(detail, me.name), String(process.pid))
    })
    me.ready()
  },
  /** Says two lines. */
  talking(me) {
    process.stdout.write('one\n')
    process.stderr.write('two\n')
    me.ready()
  },
  /** Tries to have workers of its own. */
  greedy(me) {
    try {
      new Supervisor({ web: { exec: __filename } })
    } catch (error) {
      me.send((error as Error).message)
    }
    me.ready()
  },
  /** Tells what its environment is. */
  open(me) {
    me.send({ name: process.env['METROPLEX_NAME'], colour: process.env['COLOUR'], args: process.argv.slice(2) })
    me.ready()
  },
  /** Starts processes that inherit its environment, and passes on who they say they are. */
  parent(me) {
    const program = join(__dirname, 'who.js')
    for (const how of ['alone', 'cluster'])
      fork(program, [how]).on('message', answer => {
        me.send({ how, answer })
      })
    me.ready()
  }
}

const stranger = strangers[part]
if (stranger !== undefined) stranger()
else {
  const me = worker()
  const play = parts[part]
  if (me === null || play === undefined) throw new Error(`there is no part '${part}' here`)
  process.on('message', message => {
    const { exit, signal, echo, ops, spin, take } = message as {
      exit?: number
      signal?: NodeJS.Signals
      echo?: unknown
      ops?: unknown
      spin?: number
      take?: number
    }
    if (exit !== undefined) process.exit(exit)
    if (signal !== undefined) process.kill(process.pid, signal)
    if (echo !== undefined) me.send({ echo })
    if (ops !== undefined) me.ops(ops)
    // Keeps the event loop busy for so many ms; without end at 0.
    if (spin !== undefined) for (const began = Date.now(); spin === 0 || Date.now() - began < spin;) continue
    if (take !== undefined) taken.push(Buffer.alloc(take, 1))
  })
  play(me)
}
