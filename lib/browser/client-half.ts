import { runInThisContext } from 'node:vm'

/** The part of Primus's client that the client half uses. */
export interface ClientPrimus {
  readonly socket: unknown
  readonly readyState: number
  readonly transformers: { incoming: unknown[] } | null
  encoder: (data: unknown, fn: (error: unknown, packet?: unknown) => void) => unknown
  uri: (options: unknown) => string | { query?: string }
  on(event: string, listener: () => void): unknown
  listeners(event: string): ((data: unknown, reply: (value?: unknown) => void) => unknown)[]
  write(data: unknown): boolean
}

/**
 * The client half, as the text that Primus bundles into its library.
 *
 * It is a text and not a function, because Primus takes `client.toString()`. A bundler, minifier or coverage tool
 * that rewrites a function of a server makes it refer to names that no page has. The text uses only its argument and
 * what every browser has, and is written in ES5.
 *
 * The wire is in docs/requests.md:
 * * It adds a random word to the query of the URL, which tells servers that the client half is loaded. The word
 *   stands in front of each request. So a message that another client made up, and the application passed on, is
 *   never taken for a request. The word is added after `uri`, because applications replace the query in
 *   `outgoing::url`.
 * * It removes a request from the messages after all incoming transformers, so that requests pass through those of
 *   the application. They are known when the connection opens.
 * * It drops a reply when the connection has gone, because Primus would keep the reply for the next connection. 3 is
 *   Primus's number for an open connection.
 * * It sends a failure in place of a reply that the parser cannot encode, because Primus drops what it cannot encode.
 *   The encoder is watched, because outgoing transformers of the application come before it.
 * * It makes what it sends with `Object` and `Array`, and not with literals. In Node.js Primus runs the library in a
 *   context of its own and gives it these two of the application. A parser that looks at constructors, such as
 *   `binary`, refuses objects of another context.
 */
const TEXT = `function client(primus) {
  var key = 'metroplex::request'
  var word = 'm' + Math.random().toString(36).slice(2)
  var uri = primus.uri
  var encoder = primus.encoder

  primus.uri = function (options) {
    var url = uri.call(primus, options)
    var own = '_metroplex=' + word
    if (typeof url === 'string') return url.indexOf('?') < 0 ? url : url + '&' + own
    url.query = url.query ? url.query + '&' + own : own
    return url
  }

  primus.encoder = function (data, fn) {
    return encoder.call(primus, data, function (error, packet) {
      var reply = error && data ? data[key] : undefined
      fn(error, packet)
      if (reply && reply.length < 3) send(reply[0], 2, null, reason(error))
    })
  }

  primus.on('incoming::open', function () {
    var transformers = primus.transformers
    if (!transformers) return
    transformers.incoming = transformers.incoming.filter(function (fn) { return fn !== swallow }).concat(swallow)
  })

  function send(id, size, value, error) {
    var message = new Object()
    var rest = new Array()
    rest.push(id)
    if (size > 0) rest.push(value)
    if (size > 1) rest.push(error)
    message[key] = rest
    primus.write(message)
  }
  function reason(error) {
    return String(error && error.message || error)
  }

  function swallow(packet) {
    var request = packet.data ? packet.data[key] : undefined
    if (!request || request[0] !== word) return true
    var id = request[1]
    var data = request[2]
    var socket = primus.socket
    var listeners = primus.listeners('request')
    var answered = false

    function answer(size, value, error) {
      if (answered) return
      answered = true
      if (primus.socket === socket && primus.readyState === 3) send(id, size, value, error)
    }
    function fail(error) {
      answer(2, null, reason(error))
    }
    function reply(value) {
      if (Object.prototype.toString.call(value) === '[object Error]') fail(value)
      else answer(value === undefined ? 0 : 1, value)
    }
    function resolved(value) {
      if (value !== undefined) reply(value)
    }

    if (!listeners.length) fail("no listener for 'request'")
    listeners.forEach(function (listener) {
      try {
        var result = listener.call(primus, data, reply)
        if (result && typeof result.then === 'function') result.then(resolved, fail)
      } catch (error) {
        fail(error)
      }
    })
    return false
  }
}`

type ClientHalf = (primus: ClientPrimus) => void

let compiled: ClientHalf | undefined

/**
 * The client half of the plugin: it lets a client reply to `primus.forward.request`. Its `toString` returns the text,
 * so that a tool may rewrite this function.
 *
 * @example
 * primus.on('request', function (data, reply) { reply({ pong: data }) })
 */
export const clientHalf: ClientHalf = Object.assign(
  (primus: ClientPrimus): void => {
    compiled ??= runInThisContext(`(${TEXT})`) as ClientHalf
    compiled(primus)
  },
  { toString: () => TEXT }
)
