/**
 * Four supervised workers, in a process of their own, which says when they are ready, and replaces them when it is told
 * to. It ends when its parent has gone.
 */
import { join } from 'node:path'
import { Supervisor } from '../../lib/supervisor'

const supervisor = new Supervisor({ web: { exec: join(__dirname, 'worker.js'), count: 4 } })
const fail = (error: unknown): void => {
  console.error(error)
  process.exit(1)
}
const tell = (what: string) => (): void => {
  process.send?.(what, undefined, undefined, () => undefined)
}

supervisor.on('death', ({ name, code, signal }) => {
  console.error(`${name} has died: ${signal ?? code}`)
})
const stop = (): void => {
  supervisor.stop().then(({ killed }) => process.exit(killed.length), fail)
}

process.on('message', what => {
  if (what === 'stop') stop()
  else supervisor.recycle().then(tell('recycled'), fail)
})
process.on('disconnect', stop)
supervisor.start().then(tell('ready'), fail)
