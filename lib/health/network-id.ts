import { createHash } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { hostName } from '../common/address'

let cached: string | undefined

/**
 * An id of the network to which the loopback and link-local addresses of this process belong. It differs between
 * machines, and between containers or network namespaces of one machine. `''` where nothing distinguishes them.
 */
export function network(): string {
  return (cached ??= idOf(parts().join('\n')))
}

/** Whether an address is loopback or link-local, so that it leads each machine to itself or to its own neighbours. */
export function isMachineLocal(address: string): boolean {
  const host = URL.canParse(address) ? new URL(address).hostname.replace(/^\[|\]$/g, '') : ''
  return (
    host === 'localhost' ||
    /\.localhost$/.test(host) ||
    /^127\.|^169\.254\./.test(host) ||
    host === '::1' ||
    /^fe[89ab]/i.test(host) ||
    /^::ffff:7f/i.test(host) ||
    /^::ffff:a9fe:/i.test(host)
  )
}

function parts(): string[] {
  try {
    return [readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(), readlinkSync('/proc/self/ns/net')]
  } catch {
    // Without Linux's /proc, only host names distinguish containers.
    return [hostName()]
  }
}

function idOf(text: string): string {
  return text === '' ? '' : createHash('sha256').update(text).digest('base64url').slice(0, 16)
}
