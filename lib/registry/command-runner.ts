import { MetroplexError } from '../common/errors'
import type { AdaptiveBatchSize } from './batch-size'

type Arguments = readonly (string | number)[]

/** A connection to Redis. */
export interface CommandSender {
  run(name: string, args: Arguments): Promise<unknown>
  fields(key: string, fields: readonly string[]): Promise<(Buffer | null)[]>
  pipeline(commands: readonly (readonly [name: string, ...args: (string | number)[]])[]): Promise<unknown[]>
}

/** How the stores of a registry send commands to Redis. */
export class CommandRunner {
  constructor(
    private readonly connection: CommandSender,
    private readonly batchSize: AdaptiveBatchSize
  ) {}

  /** Run a command, or a script by its name. */
  run(name: string, args: Arguments): Promise<unknown> {
    return this.connection.run(name, args)
  }

  /** As `run`, for commands whose answer is a list. @throws MetroplexError `EREGISTRY` when it is not */
  async list(name: string, args: Arguments): Promise<unknown[]> {
    const answer = await this.connection.run(name, args)
    if (!Array.isArray(answer)) throw new MetroplexError('EREGISTRY', `Redis did not answer ${name} with a list.`)
    return answer as unknown[]
  }

  /** As `list`, for work on a slice of any size: the time it takes decides the size of the next slice. */
  timed(name: string, args: Arguments): Promise<unknown[]> {
    return this.batchSize.timed(this.list(name, args))
  }

  /** The values of many fields of a hash, as bytes. */
  fields(key: string, fields: readonly string[]): Promise<(Buffer | null)[]> {
    return this.connection.fields(key, fields)
  }

  /** Run several commands in one round trip. */
  pipeline(commands: readonly (readonly [name: string, ...args: (string | number)[]])[]): Promise<unknown[]> {
    return this.connection.pipeline(commands)
  }
}
