import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { Supervisor, type WorkerEvent } from '../../lib/supervisor'
import { typesOf } from '../../lib/supervisor/options'
import { assume } from '../support/assume'
import { using } from '../support/dispose'
import { alive } from '../support/orphans'
import { rejection } from '../support/rejection'
import { eventually, once } from '../support/wait'
import { COMMAND, Deployed, main, Releases } from './deployed'

describe('supervisor: a release that a link leads to', function () {
  this.timeout(60_000)

  const NODE = `'${process.execPath}'`
  const ways: [
    how: string,
    line: string,
    place: (releases: Releases) => { cwd: string; env?: Record<string, string | undefined> }
  ][] = [
    [
      'with a relative `exec`, from the directory of the link',
      `sh -c 'cd current && exec ${process.execPath} main.js'`,
      ({ path }) => ({ cwd: path })
    ],
    [
      'under `metroplex run`',
      `sh -c 'cd current && exec ${process.execPath} ${COMMAND} run server.js -w 1'`,
      ({ path }) => ({ cwd: path })
    ],
    [
      'with the option `cwd`, where no PWD says how the directory was entered',
      `${NODE} -e "${main("exec: './server.js', cwd: '../current'")}"`,
      ({ current, path }) => ({ cwd: current, env: { ...process.env, PWD: path } })
    ],
    ['with `metroplex run --cwd`', `${NODE} ${COMMAND} run server.js -w 1 --cwd current`, ({ path }) => ({ cwd: path })]
  ]

  for (const [how, line, place] of ways) {
    it(`is the new one after a recycling or a death, also when the old one has been removed: ${how}`, async () => {
      const releases = new Releases()
      const deployed = new Deployed(line, place(releases))
      const old = await deployed.started(1, 'one')
      releases.lead('two')
      releases.remove('one')
      deployed.signal('SIGUSR2')
      const pid = await deployed.started(2, 'two')
      await eventually(() => !alive(old), { within: 20_000, what: 'the end of the recycling' })
      process.kill(pid, 'SIGKILL')
      await deployed.started(3, 'two')
    })
  }

  it('that is not there for a while fails with a sentence, and is started when it is there', async () => {
    const releases = new Releases()
    const supervisor = new Supervisor(
      { web: { exec: './server.js', cwd: releases.current } },
      { signals: false, output: 'event', backoff: { min: 20, max: 20 }, flap: { crashes: 2 } }
    )
    using(() => supervisor.stop({ grace: 0 }))
    rmSync(releases.current)
    const death = once(supervisor, 'death')
    await rejection(supervisor.start())
    assume(((await death)[0] as WorkerEvent).reason).equals(
      `web-1 could not be started: its working directory ${releases.current} does not exist.`
    )
    const ready = once(supervisor, 'ready')
    releases.lead('two')
    await ready
  })

  it('needs a directory, and a program that begins there', () => {
    const releases = new Releases()
    const [{ exec, cwd } = { exec: '', cwd: '' }] = typesOf({ web: { exec: 'server.js', cwd: releases.current } })
    assume([exec, cwd]).deep.equals([join(releases.current, 'server.js'), releases.current])
    assume(() => typesOf({ web: { exec: 'server.js', cwd: 7 } })).throws(
      'metroplex: `web.cwd` must be the path of a directory; given: 7.'
    )
    assume(() => typesOf({ web: { exec: 'server.js', cwd: join(releases.path, 'none') } })).throws(
      `metroplex: \`web.cwd\` must be the path of a directory; there is none at ${join(releases.path, 'none')}.`
    )
    assume(() => typesOf({ web: { exec: 'main.js', cwd: releases.path } })).throws(
      `there is none at ${join(releases.path, 'main.js')}.`
    )
  })

  it('is not looked for where a stale PWD leads', async () => {
    const releases = new Releases()
    const deployed = new Deployed(`env PWD='${join(releases.path, 'one')}' ${NODE} main.js`, {
      cwd: join(releases.path, 'two')
    })
    await deployed.started(1, 'two')
  })
})
