/** A packet to clients, encoded once for all of them. */
export class ClientPacket {
  readonly data: string | Buffer
  #websocket: Buffer | undefined
  #sockjs: Buffer | undefined

  /** @param encoded the message as its parser encodes it */
  constructor(encoded: string | Buffer) {
    // JavaScript treats these characters as line ends, so Primus escapes them with every parser.
    this.data =
      typeof encoded === 'string' && LINES.test(encoded)
        ? encoded.replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029')
        : encoded
  }

  /** As an unmasked WebSocket frame (RFC 6455, section 5.2). */
  get websocket(): Buffer {
    return (this.#websocket ??=
      typeof this.data === 'string' ? frameOf(TEXT, Buffer.from(this.data)) : frameOf(BINARY, this.data))
  }

  /** As a WebSocket frame of SockJS, which carries a list of texts. */
  get sockjs(): Buffer {
    return (this.#sockjs ??= frameOf(TEXT, Buffer.from(`a[${quoted(String(this.data))}]`)))
  }
}

const LINES = /[\u2028\u2029]/

/** Opcodes with the FIN bit. */
const [TEXT, BINARY] = [0x81, 0x82]

function frameOf(opcode: number, payload: Buffer): Buffer {
  const { length } = payload
  const head = length < 126 ? 2 : length < 65_536 ? 4 : 10
  const frame = Buffer.allocUnsafe(head + length)
  frame[0] = opcode
  if (head === 2) {
    frame[1] = length
  } else if (head === 4) {
    frame[1] = 126
    frame.writeUInt16BE(length, 2)
  } else {
    frame[1] = 127
    frame.writeUInt32BE(0, 2)
    frame.writeUInt32BE(length, 6)
  }
  payload.copy(frame, head)
  return frame
}

/** SockJS also escapes characters that some browsers do not pass on. */
function quoted(text: string): string {
  const json = JSON.stringify(text)
  return UNSAFE.test(json)
    ? json.replace(ALL_UNSAFE, found => `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`)
    : json
}

const UNSAFE = /[\ud800-\udfff\u200c-\u200f\u2028-\u202f\u2060-\u206f\ufff0-\uffff]/
const ALL_UNSAFE = new RegExp(UNSAFE, 'g')
