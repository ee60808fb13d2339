/**
 * A primary process with a supervisor of the types and options of its first argument. It tells its parent what happens,
 * and does what that one says.
 */
import type { EventEmitter } from 'eventemitter3'
import { Supervisor, type SupervisorOptions, type WorkerType } from '../../../lib/supervisor'
import { EVENTS } from '../events'

const { types, options } = JSON.parse(process.argv[2] ?? '') as {
  types: Record<string, WorkerType>
  options: SupervisorOptions
}
const supervisor = new Supervisor(types, options)
const crash = (): void => {
  process.exit(1)
}
for (const event of EVENTS) {
  ;(supervisor as EventEmitter).on(event, (worker: object) => {
    if (process.connected)
      process.send?.({ event, worker: worker instanceof Error ? { message: worker.message } : worker })
  })
}
process.on('message', message => {
  if (message === 'throw')
    setImmediate(() => {
      throw new Error('a crash of the primary')
    })
  if (message === 'workers') process.send?.({ event: 'workers', worker: supervisor.workers() })
  const { to, send } = message as { to?: string; send?: unknown }
  if (to !== undefined) supervisor.send(to, send).catch(crash)
  if (message === 'stop')
    supervisor.stop().then(() => {
      process.removeListener('disconnect', crash)
      process.disconnect()
    }, crash)
})
process.on('disconnect', crash)
supervisor.start().then(
  () => process.send?.({ event: 'started', worker: {} }),
  (error: unknown) => process.send?.({ event: 'failed', worker: { message: String(error) } })
)
