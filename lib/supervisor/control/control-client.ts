import { connect } from 'node:net'
import { asError } from '../../common/errors'
import {
  ControlError,
  LONGEST_ANSWER,
  readAnswer,
  encodeRequest,
  type ControlRequest,
  type SupervisorStatus
} from './control-protocol'

/**
 * Asks a supervisor by its socket.
 *
 * @param ms how long the answer may take
 * @throws ControlError that says why there is no answer, or what the supervisor refused
 */
export function askSupervisor(path: string, request: ControlRequest, ms: number): Promise<unknown> {
  return new Promise((resolve, reject) => {
    let text = ''
    const socket = connect(path)
    const fail = (kind: ControlError['kind'], sentence: string, cause?: unknown): void => {
      end()
      reject(new ControlError(kind, sentence, cause))
    }
    const timer = setTimeout(() => {
      fail('unheard', `The supervisor at ${path} did not answer within ${ms} ms.`)
    }, ms)
    const end = (): void => {
      clearTimeout(timer)
      socket.destroy()
    }
    socket.setEncoding('utf8')
    socket.on('data', (chunk: string) => {
      text += chunk
      if (text.length > LONGEST_ANSWER)
        fail('unheard', `The answer at ${path} is too long: no supervisor listens there.`)
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      const absent = error.code === 'ECONNREFUSED' || error.code === 'ENOENT'
      if (absent) fail('absent', `No supervisor listens at ${path}.`, error)
      else fail('unheard', `The supervisor at ${path} cannot be asked: ${error.message}.`, error)
    })
    socket.on('end', () => {
      end()
      if (text === '')
        reject(new ControlError('unheard', `The supervisor at ${path} closed the connection unanswered.`))
      else
        try {
          resolve(readAnswer(text))
        } catch (error) {
          const sentence = `The answer at ${path} is not understood: ${asError(error).message}`
          reject(error instanceof ControlError ? error : new ControlError('unheard', sentence, error))
        }
    })
    socket.write(encodeRequest(request))
  })
}

/** Asks a supervisor how it and its workers are. @throws as `askSupervisor` */
export async function askStatusOf(path: string, ms: number): Promise<SupervisorStatus> {
  const answer = (await askSupervisor(path, { do: 'workers' }, ms)) as Partial<SupervisorStatus> | null
  if (typeof answer?.pid !== 'number' || !Array.isArray(answer.workers))
    throw new ControlError('unheard', `The answer at ${path} is not understood: it has no workers.`)
  return answer as SupervisorStatus
}
