/**
 * `node dist/examples/worker.js`: users of three servers give jobs to a worker, which is none of the servers, and
 * hear from it. What it runs is worker/server.ts and worker/worker.ts.
 */
import { show } from './demo/show'

show('worker', async run => {
  const { output } = run
  const [one, two, three] = await run.servers('worker/server.js')
  const [ann, annToo, ben] = [
    await run.visit(one, '?user=ann'),
    await run.visit(two, '?user=ann'),
    await run.visit(three, '?user=ben')
  ]
  const cat = await run.visit(three, '?user=cat')
  ann.say({ resize: 'ann.jpg' })
  ben.say({ resize: 'ben.jpg' })
  cat.say({ resize: 'cat.jpg' })
  cat.close()
  output.tell('clients', 'ann, on two servers, ben and cat ask for a photo each; cat goes')

  const worker = run.start('worker', 'worker/worker.js')
  await Promise.all([
    ann.hears({ resized: 'ann.jpg' }),
    annToo.hears({ resized: 'ann.jpg' }),
    ben.hears({ resized: 'ben.jpg' })
  ])
  output.proof('ann has her photo, on both of her connections, and ben has his')
  await Promise.all([ann, annToo, ben].map(visitor => visitor.hears({ finished: 3 })))
  output.proof('all clients on all servers have received that 3 jobs are finished')
  const code = await worker.exit
  if (code !== 0) throw new Error(`the worker has ended with ${String(code)}`)
  output.proof('the worker has ended by itself, with 0')
  return [`servers are on ${one.url}, ${two.url} and ${three.url}`]
})
