import type { ErrorCode } from '../../common/errors'
import type { Answer } from '../../common/transport-contract'

const JSON_TYPE = 'application/json'

/** A refusal by the transport. It is unsigned, because the transport has no secret. */
export function refusalAnswer(status: number, code: ErrorCode, reason: string): Answer {
  return { status, head: '', type: JSON_TYPE, body: Buffer.from(JSON.stringify({ code, reason })) }
}

/** The answer to all requests during start and shutdown. */
export function closingAnswer(): Answer {
  return refusalAnswer(503, 'ECLOSED', 'This server accepts no requests: it is starting or shutting down.')
}

export function tooLargeAnswer(maxBody: number): Answer {
  return refusalAnswer(413, 'ETOOBIG', `The body is larger than ${maxBody} bytes: raise \`maxBody\`.`)
}

export function tooSlowAnswer(timeout: number): Answer {
  return refusalAnswer(408, 'EDEADLINE', `The body took longer than ${timeout} ms to arrive.`)
}

export function malformedAnswer(): Answer {
  return refusalAnswer(400, 'EPROTOCOL', 'A frame must consist of a line and a body.')
}

/** The answer after an unexpected exception. */
export function failedAnswer(): Answer {
  return refusalAnswer(500, 'EPROTOCOL', 'The request could not be handled.')
}

/** Call the receiver. A custom one may throw, against its contract; then the answer is 500. */
export function answerSafely<T>(judge: () => T): T | Answer {
  try {
    return judge()
  } catch {
    return failedAnswer()
  }
}
