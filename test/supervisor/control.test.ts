import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync
} from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { askStatusOf, askSupervisor } from '../../lib/supervisor/control/control-client'
import { controlDirectories, controlOf } from '../../lib/supervisor/control/control-path'
import { readAnswer, readRequest, type ControlRequest } from '../../lib/supervisor/control/control-protocol'
import { ControlServer } from '../../lib/supervisor/control/control-server'
import { assume } from '../support/assume'
import { using } from '../support/dispose'
import { rejection } from '../support/rejection'
import { once } from '../support/wait'
import { playing, staged } from './stage'

/** A directory that goes with the test. */
function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'metroplex-control-'))
  using(() => {
    rmSync(path, { recursive: true, force: true })
  })
  return path
}

/** A server that answers each request with the request, until the test ends. */
async function listening(place: string | true, name = 'web'): Promise<ControlServer> {
  const server = new ControlServer(place, name, request => Promise.resolve(request))
  await server.open()
  using(() => {
    server.close()
  })
  return server
}

/** Leaves a socket behind, as a supervisor does that is killed. */
async function stale(path: string): Promise<void> {
  const server = await listening(path)
  const kept = `${path}.kept`
  // The system removes the name under which it was made, and not this one.
  renameSync(path, kept)
  server.close()
  renameSync(kept, path)
}

/** Writes to a socket, and resolves with all that comes back. */
async function written(path: string, text: string): Promise<string> {
  const socket = connect(path)
  let answer = ''
  socket.setEncoding('utf8')
  socket.on('data', (chunk: string) => {
    answer += chunk
  })
  socket.on('error', () => undefined)
  const closed = once(socket, 'close', { within: 10_000 })
  socket.write(text)
  await closed
  return answer
}

describe('supervisor: its control socket', () => {
  it('is for this user alone: its mode is 0600, that of its directory 0700, from their first moment', async () => {
    const mask = process.umask(0)
    using(() => {
      process.umask(mask)
    })
    const path = join(directory(), 'deep', 'web.sock')
    const server = await listening(path)
    assume(server.path).equals(path)
    assume([statSync(path).mode & 0o777, statSync(join(path, '..')).mode & 0o777]).deep.equals([0o600, 0o700])
    assume(process.umask(0)).equals(0)
    server.close()
    assume([server.path, existsSync(path)]).deep.equals([undefined, false])
  })

  it('is not opened in a directory that others may enter, which a sentence says', async () => {
    const path = directory()
    chmodSync(path, 0o755)
    const server = new ControlServer(join(path, 'web.sock'), 'web', () => Promise.resolve())
    const error = await rejection(server.open())
    assume([error.code, error.message]).deep.equals([
      'EWORKER',
      `Commands cannot reach this supervisor: the directory ${path} must belong to this user, and no other user may ` +
        'enter it: change its mode to 700, or give another `control`.'
    ])
  })

  it('replaces that of a supervisor that has died', async () => {
    const path = join(directory(), 'web.sock')
    await stale(path)
    assume(existsSync(path)).equals(true)
    assume((await rejection(askStatusOf(path, 5000))).message).equals(`No supervisor listens at ${path}.`)
    await listening(path)
    assume(await askSupervisor(path, { do: 'workers' }, 5000)).deep.equals({ do: 'workers' })
  })

  it('does not replace that of a living supervisor, nor another file', async () => {
    const path = join(directory(), 'web.sock')
    await listening(path)
    const second = new ControlServer(path, 'web', () => Promise.reject(new Error('the second one')))
    assume((await rejection(second.open())).message).equals(
      `Commands cannot reach this supervisor: another supervisor listens at ${path}: give another \`control\`.`
    )
    second.close()
    assume(await askSupervisor(path, { do: 'workers' }, 5000)).deep.equals({ do: 'workers' })
    const file = join(directory(), 'notes')
    writeFileSync(file, 'mine')
    const third = new ControlServer(file, 'web', () => Promise.resolve())
    assume((await rejection(third.open())).message).includes(`${file} is another file`)
    assume(statSync(file).size).equals(4)
  })

  it('takes the first free name in the directory of the user', async () => {
    const [home, before] = [directory(), process.env['XDG_RUNTIME_DIR']]
    using(() => {
      if (before === undefined) delete process.env['XDG_RUNTIME_DIR']
      else process.env['XDG_RUNTIME_DIR'] = before
    })
    process.env['XDG_RUNTIME_DIR'] = home
    const [first, second] = [await listening(true), await listening(true)]
    assume([first.path, second.path]).deep.equals([
      join(home, 'metroplex', 'web.sock'),
      join(home, 'metroplex', 'web.2.sock')
    ])
    await stale(join(home, 'metroplex', 'jobs.sock'))
    assume((await listening(true, 'jobs')).path).equals(join(home, 'metroplex', 'jobs.sock'))
    delete process.env['XDG_RUNTIME_DIR']
    assume(controlDirectories()).deep.equals([join(tmpdir(), `metroplex-${process.getuid?.() ?? ''}`)])
  })

  it('may have a path of 107 bytes on Linux, and says so of a longer one', () => {
    assume(controlOf(`/${'x'.repeat(102)}`)).equals(`/${'x'.repeat(102)}`)
    assume(() => controlOf(`/${'é'.repeat(54)}`)).throws(
      /may have at most 10[37] bytes, and .* has 109: give a shorter one/
    )
    assume([undefined, false, true].map(controlOf)).deep.equals([false, false, true])
    for (const wrong of ['', 7, null, {}])
      assume(() => controlOf(wrong)).throws(/must be the path of a Unix socket, true/)
  })
})

describe('supervisor: the protocol of its control socket', () => {
  it('answers one line with one line, and closes the connection', async () => {
    const { path = '' } = await listening(join(directory(), 'web.sock'))
    assume(await written(path, '{"metroplex":1,"do":"recycle","type":"web"}\nmore\n')).equals(
      '{"metroplex":1,"ok":true,"value":{"do":"recycle","wait":true,"type":"web"}}\n'
    )
  })

  const malformed: [what: string, line: string, sentence: string][] = [
    ['no JSON', 'hello', "A request must be a line of JSON; given: 'hello'."],
    [
      'another version',
      '{"metroplex":2,"do":"workers"}',
      'A request must be an object with "metroplex": 1, the version that is spoken here; given: 2.'
    ],
    [
      'null',
      'null',
      'A request must be an object with "metroplex": 1, the version that is spoken here; given: undefined.'
    ],
    [
      'an unknown order',
      '{"metroplex":1,"do":"dance"}',
      "`do` of a request must be 'workers', 'scale', 'recycle' or 'replace'; given: 'dance'."
    ],
    ['no type', '{"metroplex":1,"do":"scale","count":1}', '`type` of a request must be a string; given: undefined.'],
    ['a line without end', 'x'.repeat(5000), 'A request may have at most 4096 characters.']
  ]
  for (const [what, line, sentence] of malformed) {
    it(`answers ${what} with a sentence, and goes on`, async () => {
      const { path = '' } = await listening(join(directory(), 'web.sock'))
      const answer = JSON.parse(await written(path, what === 'a line without end' ? line : `${line}\n`)) as object
      assume(answer).deep.equals({ metroplex: 1, ok: false, error: sentence })
      assume(await askSupervisor(path, { do: 'workers' }, 5000)).deep.equals({ do: 'workers' })
    })
  }

  it('disconnects a client that sends nothing, and serves others meanwhile', async () => {
    const { path = '' } = await listening(join(directory(), 'web.sock'))
    const silent = written(path, '{"metroplex"')
    assume(await askSupervisor(path, { do: 'workers' }, 5000)).deep.equals({ do: 'workers' })
    assume(await silent).equals('')
  })

  it('never throws anything but a sentence, at any line', () => {
    const parts = fc.record({ metroplex: fc.constant(1), do: fc.string(), type: fc.anything(), wait: fc.anything() })
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          parts.map(one => JSON.stringify(one))
        ),
        line => {
          for (const read of [readRequest, readAnswer] as ((line: string) => unknown)[])
            try {
              read(line)
            } catch (error) {
              assume((error as Error).message).matches(/\.$/)
            }
        }
      )
    )
  })

  it('bounds the wait for an answer', async () => {
    const path = join(directory(), 'web.sock')
    const server = new ControlServer(path, 'web', () => new Promise(() => undefined))
    await server.open()
    using(() => {
      server.close()
    })
    assume((await rejection(askStatusOf(path, 50))).message).equals(
      `The supervisor at ${path} did not answer within 50 ms.`
    )
  })
})

describe('supervisor: asked by its control socket', () => {
  it('lists, scales and recycles its workers, and replaces one', async () => {
    const path = join(directory(), 'web.sock')
    const stage = await staged({ web: playing('good', { count: 2 }), jobs: playing('good') }, { control: path })
    assume(stage.supervisor.control).equals(path)
    const ask = (request: ControlRequest): Promise<unknown> => askSupervisor(path, request, 30_000)
    const status = await askStatusOf(path, 5000)
    assume([status.pid, status.wanted]).deep.equals([process.pid, { web: 2, jobs: 1 }])
    assume(status.workers.map(({ name, state }) => `${name} ${state}`)).deep.equals([
      'web-1 ready',
      'web-2 ready',
      'jobs-1 ready'
    ])
    await ask({ do: 'scale', type: 'web', count: 3, wait: true })
    const before = stage.ready()
    assume(before.length).equals(4)
    await ask({ do: 'replace', worker: 'web-2', wait: true })
    assume(stage.ready().map((one, at) => one === before[at])).deep.equals([true, false, true, true])
    await ask({ do: 'recycle', type: 'jobs', wait: true })
    assume(stage.ready().map((one, at) => one === before[at])).deep.equals([true, false, true, false])
    await ask({ do: 'scale', type: 'web', count: 0, wait: false })
    await stage.seen('ended', 'web-3')
  })

  it('refuses what it cannot do, in a sentence', async () => {
    const path = join(directory(), 'web.sock')
    const stage = await staged({ web: playing('good') }, { control: path })
    const refused = async (request: ControlRequest): Promise<string> =>
      (await rejection(askSupervisor(path, request, 30_000))).message
    assume(await refused({ do: 'scale', type: 'wob', count: 1, wait: false })).equals(
      "there are no workers of the type 'wob'; there are: web."
    )
    assume(await refused({ do: 'scale', type: 'web', count: 1025, wait: true })).equals(
      '`count` must be a whole number of workers, from 0 to 1024; given: 1025.'
    )
    assume(await refused({ do: 'replace', worker: 'web-2', wait: true })).equals(
      "There is no worker 'web-2' now. There are: web-1."
    )
    assume(stage.told('death').length).equals(0)
  })

  it('answers at once while a worker is stalled', async () => {
    const path = join(directory(), 'web.sock')
    const stage = await staged({ web: playing('good', { count: 2, stall: 60_000 }) }, { control: path })
    await stage.supervisor.send('web-1', { spin: 0 })
    const began = performance.now()
    assume((await askStatusOf(path, 5000)).workers.length).equals(2)
    assume(performance.now() - began).is.below(5000)
  })

  it('runs its workers all the same when it cannot listen, and reports why', async () => {
    const path = directory()
    mkdirSync(join(path, 'web.sock'))
    const stage = await staged({ web: playing('good') }, { control: join(path, 'web.sock') })
    assume(stage.ready().length).equals(1)
    assume((stage.told('error')[0]?.worker as unknown as Error).message).includes('is another file')
    assume(readdirSync(path)).deep.equals(['web.sock'])
  })
})
