import { spawn } from 'node:child_process'
import { join } from 'node:path'
import type { WorkerType } from '../../lib/supervisor'
import { assume } from '../support/assume'
import { using } from '../support/dispose'
import { alive, killAtExit } from '../support/orphans'
import { deadline, eventually, once } from '../support/wait'
import { program, staged, type Stage } from './stage'

const LIB = join(__dirname, '..', '..', 'lib')
/** More than a pipe or a socket holds: some of it waits in the memory of the writing process. */
const MANY = 20_000

const puppet = (SCRIPT: string, terms: Partial<WorkerType> = {}): WorkerType => ({
  exec: program('puppet'),
  // A busy machine takes seconds to pass on so much.
  grace: 60_000,
  ...terms,
  env: { SCRIPT }
})
/** Source that makes that many lines in one text. */
const text = (count: number): string =>
  `Array.from({ length: ${count} }, (_, at) => 'line ' + at + ' ' + 'x'.repeat(80) + '\\n').join('')`
/** Source that writes them in one call. */
const writes = (count: number): string => `process.stdout.write(${text(count)});`

/** The output of a worker so far, and whether all of it was reported before the event of its end. */
function linesOf(stage: Stage, name: string): string[] {
  return stage.told('output', name).map(({ rest: [, line] }) => String(line).split(' ').slice(0, 2).join(' '))
}

/** Expects those numbered lines of a worker, each once and in order, all of them before its end. */
function complete(stage: Stage, name: string, count: number): void {
  assume(linesOf(stage, name)).deep.equals(Array.from({ length: count }, (_, at) => `line ${at}`))
  const end = stage.log.findIndex(
    ({ event, worker }) => worker.name === name && (event === 'ended' || event === 'death')
  )
  assume(stage.log.slice(end).filter(({ event, worker }) => worker.name === name && event === 'output')).deep.equals([])
}

describe('supervisor: what a worker writes at its end', function () {
  this.timeout(120_000)

  for (const [count, what] of [
    [300, '27 KB'],
    [MANY, 'more than its pipe holds']
  ] as const) {
    it(`is reported before \`ended\`, and before \`stop\` resolves: ${what}`, async () => {
      const script = `me.onDrain(() => { ${writes(count)} }); setInterval(() => {}, 1000); me.ready()`
      const stage = await staged({ web: puppet(script, { count: 4 }) }, { output: 'event' })
      assume(await stage.supervisor.stop()).deep.equals({ killed: [] })
      for (const name of ['web-1', 'web-2', 'web-3', 'web-4']) complete(stage, name, count)
    })
  }

  it('is reported before `death` when it calls process.exit', async () => {
    const stage = await staged(
      { web: puppet(`me.ready(); process.on('message', () => { ${writes(300)} process.exit(7) })`) },
      { output: 'event' }
    )
    await stage.supervisor.send('web-1', 'exit')
    assume((await stage.seen('death')).worker.code).equals(7)
    complete(stage, 'web-1', 300)
  })

  it('is reported before `death` when it is killed', async () => {
    const stage = await staged(
      {
        web: puppet(`me.ready(); process.on('message', () => { ${writes(300)} process.kill(process.pid, 'SIGKILL') })`)
      },
      { output: 'event' }
    )
    await stage.supervisor.send('web-1', 'exit')
    assume((await stage.seen('death')).worker.signal).equals('SIGKILL')
    complete(stage, 'web-1', 300)
  })

  it('is reported when its supervisor is slower than it: a listener that blocks loses no line', async () => {
    const stage = await staged(
      { web: puppet(`me.onDrain(() => { ${writes(MANY)} }); setInterval(() => {}, 1000); me.ready()`) },
      { output: 'event' }
    )
    stage.supervisor.on('output', (_worker, _stream, line) => {
      for (const end = performance.now() + 1; line.includes('00 ') && performance.now() < end;);
    })
    await stage.supervisor.stop()
    complete(stage, 'web-1', MANY)
  })

  it('is not awaited from a child that holds its pipe: the unfinished line comes, its lines later', async () => {
    const child = `process.on('SIGTERM', () => { console.log('\\nfrom the child'); process.exit() })
      setInterval(() => {}, 1000)
      process.send('here')`
    const script = `const options = { detached: true, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }
      const child = require('child_process').spawn(process.execPath, ['-e', ${JSON.stringify(child)}], options)
      child.on('message', () => { me.send(child.pid); me.ready() })
      me.onDrain(() => { ${writes(300)} process.stdout.write('line 300') })`
    const stage = await staged({ web: puppet(script) }, { output: 'event' })
    const [pid] = (await stage.seen('message')).rest as [number]
    using(() => {
      if (alive(pid)) process.kill(pid, 'SIGKILL')
    })
    await deadline(stage.supervisor.stop(), 10_000, '`stop`')
    complete(stage, 'web-1', 301)
    process.kill(pid, 'SIGTERM')
    await stage.seen('output', 'web-1', { filter: ({ rest: [, line] }) => line === 'from the child' })
  })

  for (const [how, count, script, ask] of [
    [
      'when it is told to end',
      2000,
      'me.onDrain(() => { send() }); setInterval(() => {}, 1000); me.ready()',
      (stage: Stage) => stage.supervisor.stop()
    ],
    // As many as the system takes at once: `process.exit` drops what is still in the memory of the process.
    [
      'when it calls process.exit',
      50,
      "process.on('message', () => { send(); process.exit(0) }); me.ready()",
      (stage: Stage) => stage.supervisor.send('web-1', 'exit')
    ]
  ] as const) {
    it(`is reported before its end, as are the messages that it sends then, ${how}`, async () => {
      const send = `const send = () => { for (let at = 0; at < ${count}; at++) me.send(at); me.ops('last') };`
      const stage = await staged({ web: puppet(send + script) })
      await ask(stage)
      const end = await eventually(() => stage.log.findIndex(({ event }) => event === 'ended' || event === 'death') + 1)
      const before = stage.log.slice(0, end)
      assume(before.filter(({ event }) => event === 'message').length).equals(count)
      assume(before.filter(({ event }) => event === 'ops').length).equals(1)
    })
  }
})

describe('supervisor: the output of its own process', function () {
  this.timeout(120_000)

  /**
   * A process that writes a lot, flushes with that patience, and exits. Its output is not read until that is asked for.
   */
  function writer(ms: number): ReturnType<typeof spawn> {
    const source =
      `const { flush } = require('${LIB}/supervisor/output-flush.js'); ${writes(MANY)} ` +
      `process.stderr.write('begun'); flush(${ms}).then(() => process.exit(3))`
    const child = spawn(process.execPath, ['-e', source], { stdio: ['ignore', 'pipe', 'pipe'] })
    killAtExit(child)
    return child
  }

  /** Everything that a stream brings from now on. */
  async function all(from: NodeJS.ReadableStream | null): Promise<string> {
    let read = ''
    if (from !== null) for await (const chunk of from) read += String(chunk)
    return read
  }

  it('is that of all supervisors of a process, which a signal to one of them ends', async () => {
    const types = (name: string): string =>
      JSON.stringify({
        [name]: puppet(`me.onDrain(() => { ${writes(300)} }); setInterval(() => {}, 1000); me.ready()`)
      })
    const child = spawn(process.execPath, [
      '-e',
      `const { Supervisor } = require('${LIB}/supervisor')
      const [a, b] = [
        new Supervisor(${types('a')}, { output: 'event' }),
        new Supervisor(${types('b')}, { output: 'event', signals: false })
      ]
      for (const one of [a, b]) {
        one.on('output', ({ name }, stream, line) => console.log(name, line))
        one.on('ended', ({ name }) => console.log(name, 'has ended'))
      }
      Promise.all([a.start(), b.start()]).then(() => process.kill(process.pid, 'SIGTERM'))`
    ])
    killAtExit(child)
    const exit = once(child, 'exit', { within: 60_000 })
    const said = (await all(child.stdout)).split('\n')
    for (const name of ['a-1', 'b-1']) {
      const expected = Array.from({ length: 300 }, (_, at) => `${name} line ${at}`).concat(`${name} has ended`)
      assume(said.filter(line => line.startsWith(name)).map(line => line.replace(/ x+$/, ''))).deep.equals(expected)
    }
    assume((await exit)[0]).equals(0)
  })

  it('is flushed before it exits, also when its reader comes late', async () => {
    const child = writer(30_000)
    const exit = once(child, 'exit', { within: 30_000 })
    await once(child.stderr ?? child, 'data', { within: 30_000 })
    assume((await all(child.stdout)).split('\n').length).equals(MANY + 1)
    assume((await exit)[0]).equals(3)
  })

  it('keeps it no longer than a while when its reader takes nothing', async () => {
    const child = writer(300)
    assume((await once(child, 'exit', { within: 30_000 }))[0]).equals(3)
  })

  it('keeps it no longer when its reader has gone', async () => {
    const child = writer(600_000)
    await once(child.stderr ?? child, 'data', { within: 30_000 })
    child.stdout?.destroy()
    assume((await once(child, 'exit', { within: 30_000 }))[0]).equals(3)
  })
})
