/** A primary process that catches nothing of what its supervisor rejects with. */
import { Supervisor, type WorkerType } from '../../../lib/supervisor'

const supervisor = new Supervisor({ web: JSON.parse(process.argv[2] ?? '') as WorkerType }, { output: 'event' })
supervisor.on('online', () => process.send?.('online'))
supervisor.on('ready', () => process.send?.('ready'))
supervisor.on('ended', () => process.send?.('ended'))

async function main(): Promise<void> {
  await supervisor.start()
}

main().catch((error: unknown) => {
  throw error
})
