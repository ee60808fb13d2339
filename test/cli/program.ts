/**
 * A program as `metroplex run` is given one. With `hang` among its arguments it does not end when it is told to; with
 * `once=FILE` only the first worker becomes ready; with
 * `tick` it writes lines all the time; with `last=N` it writes N lines in one call when it ends.
 */
import { existsSync, writeFileSync } from 'node:fs'
import { worker } from '../../lib/supervisor'

const me = worker()
const args = process.argv.slice(2)
console.log(`listening as ${me?.type ?? 'unknown'}, with ${args.join(' ') || 'nothing'}`)
console.error('and on the other stream')
const once = args.find(arg => arg.startsWith('once='))?.slice(5)
if (once !== undefined) {
  if (existsSync(once)) process.exit(3)
  writeFileSync(once, '')
}
if (args.includes('hang')) me?.onDrain(() => new Promise(() => undefined))
if (args.includes('tick'))
  setInterval(() => {
    console.log('tick')
  }, 10)
const last = args.find(arg => arg.startsWith('last='))
if (last !== undefined) {
  const lines = Array.from({ length: Number(last.slice(5)) }, (_, at) => `last ${at} ${'x'.repeat(80)}\n`).join('')
  me?.onDrain(() => {
    process.stdout.write(lines)
  })
}
me?.ready()
