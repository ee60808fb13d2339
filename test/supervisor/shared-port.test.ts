import { Agent, get } from 'node:http'
import { assume } from '../support/assume'
import { using } from '../support/dispose'
import { eventually } from '../support/wait'
import { program, staged, type Stage } from './stage'

/** Ask, and resolve with the answer. */
function ask(port: number, path: string, agent: Agent): Promise<string> {
  return new Promise((resolve, reject) => {
    get({ port, path, host: '127.0.0.1', agent }, response => {
      let text = ''
      response
        .setEncoding('utf8')
        .on('data', (chunk: string) => {
          text += chunk
        })
        .on('end', () => resolve(text))
        .on('error', reject)
    }).on('error', reject)
  })
}

/** Ask again and again, until it is enough; resolve with the answers, and with what failed. */
async function asking(
  port: number,
  path: string,
  keepAlive: boolean,
  enough: () => boolean
): Promise<{ answers: string[]; errors: string[] }> {
  const [answers, errors]: [string[], string[]] = [[], []]
  const agent = new Agent({ keepAlive, maxSockets: 1 })
  while (!enough()) {
    await ask(port, path, agent).then(
      answer => answers.push(answer),
      (error: unknown) => errors.push(String(error))
    )
  }
  agent.destroy()
  return { answers, errors }
}

describe('supervisor: a port that workers share', () => {
  it('has no request fail while all workers are replaced, on new connections and on those that stay', async () => {
    const stage = await staged({ web: { exec: program('web'), count: 3 } })
    const {
      rest: [{ port }]
    } = (await stage.seen('message')) as unknown as { rest: [{ port: number }] }
    let enough = false
    const askers = [
      ['/', true, 4],
      ['/', false, 2],
      ['/long', true, 1]
    ] as const
    const all = askers.flatMap(([path, keepAlive, count]) =>
      Array.from({ length: count }, () => asking(port, path, keepAlive, () => enough))
    )
    const from = stage.log.length
    await stage.supervisor.recycle()
    enough = true
    const results = await Promise.all(all)
    assume(results.flatMap(({ errors }) => errors)).deep.equals([])
    for (const { answers } of results) assume(answers.length).is.above(1)
    assume(Math.min(...stage.log.slice(from).map(({ ready }) => ready))).equals(3)
    // They were answered by the old ones and by the new ones.
    assume(new Set(results.flatMap(({ answers }) => answers)).size).equals(6)
  })
})

describe('supervisor: a worker that ends, with a connection that is idle', () => {
  /** One server, and a connection to it that has been used. */
  async function used(grace: number): Promise<{ stage: Stage; first: string; again: () => Promise<string> }> {
    const stage = await staged({ web: { exec: program('web'), grace } })
    const {
      rest: [{ port }]
    } = (await stage.seen('message')) as unknown as { rest: [{ port: number }] }
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    using(() => {
      agent.destroy()
    })
    const again = (): Promise<string> => ask(port, '/', agent)
    return { stage, first: await again(), again }
  }

  it('answers once more there, so that nothing is lost that is on its way', async () => {
    const { stage, first, again } = await used(30_000)
    const recycled = stage.supervisor.recycle()
    await stage.seen('drain')
    assume(await again()).equals(first)
    // An answer says that it was the last one there.
    assume(await eventually(async () => (await again()) !== first)).equals(true)
    await recycled
  })

  it('closes it when most of its grace is over', async () => {
    const { stage } = await used(8000)
    assume(await stage.supervisor.stop()).deep.equals({ killed: [] })
    assume((await stage.seen('ended')).worker.code).equals(0)
  })
})
