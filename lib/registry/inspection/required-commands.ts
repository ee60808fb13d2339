/** The commands of Redis that a server uses on keys of the registry, as docs/keys.md lists them. */
export const COMMANDS: readonly string[] = (
  'get set del unlink exists incr rename pttl pexpire mget hget hset hmget hdel hscan hincrby hlen hgetall sadd srem ' +
  'scard smembers sismember smismember sscan zadd zrange zrem zscore zrangebyscore zremrangebyscore lpush ltrim ' +
  'lrange eval evalsha time'
).split(' ')
