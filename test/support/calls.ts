import type { RedisProcess } from './redis'

/** How often a Redis has carried out one of these commands since it started; what scripts call counts, too. */
export async function calls(redis: Pick<RedisProcess, 'ask'>, ...commands: string[]): Promise<number> {
  const stats = await redis.ask(client => client.info('commandstats'))
  return commands.reduce(
    (sum, command) => sum + Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(stats)?.[1] ?? 0),
    0
  )
}
