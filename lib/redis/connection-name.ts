/** What one of our connections to Redis is for: commands on the registry, or one side of pub/sub. */
export type ConnectionRole = 'commands' | 'publish' | 'subscribe'

/**
 * The name that `CLIENT LIST` of Redis shows for one of our connections: `metroplex:web-1:commands`.
 *
 * Redis refuses names with spaces, control characters and characters beyond ASCII. Their bytes are percent-encoded.
 *
 * @param name the option `name` of the process
 */
export function connectionName(name: string, role: ConnectionRole): string {
  return `metroplex:${name.replace(/[^!-~]+/g, percentEncoded)}:${role}`
}

function percentEncoded(text: string): string {
  return Array.from(Buffer.from(text), byte => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('')
}
