/** `node dist/examples/worker.js`: users of three servers give jobs to a worker, which is none of the servers, and hear from it. What it runs is worker/server.ts and worker/worker.ts. */
import { show } from './demo/show'

show('worker', async stage => {
  const { narrator } = stage
  const [one, two, three] = await stage.servers('worker/server.js')
  const [ann, annToo, ben] = [await stage.visit(one, '?user=ann'), await stage.visit(two, '?user=ann'), await stage.visit(three, '?user=ben')]
  const cat = await stage.visit(three, '?user=cat')
  ann.say({ resize: 'ann.jpg' })
  ben.say({ resize: 'ben.jpg' })
  cat.say({ resize: 'cat.jpg' })
  cat.close()
  narrator.tell('clients', 'ann, on two servers, ben and cat ask for a photo each; cat goes')

  const worker = stage.start('worker', 'worker/worker.js')
  await Promise.all([ann.hears({ resized: 'ann.jpg' }), annToo.hears({ resized: 'ann.jpg' }), ben.hears({ resized: 'ben.jpg' })])
  narrator.proof('ann has her photo, on both of her connections, and ben has his')
  await Promise.all([ann, annToo, ben].map(visitor => visitor.hears({ finished: 3 })))
  narrator.proof('everybody on every server was told that 3 jobs are finished')
  const code = await worker.exit
  if (code !== 0) throw new Error(`the worker has ended with ${String(code)}`)
  narrator.proof('the worker has ended by itself, with 0')
  return [`servers are on ${one.url}, ${two.url} and ${three.url}`]
})
