/** As much of Primus's client as the client half touches. */
export interface ClientPrimus {
  readonly socket: unknown
  readonly readyState: number
  readonly transformers: { incoming: unknown[] } | null
  uri: (options: unknown) => string | { query?: string }
  on(event: string, listener: () => void): unknown
  listeners(event: string): ((data: unknown, reply: (value?: unknown) => void) => unknown)[]
  write(data: unknown): boolean
}

/**
 * The client half of the plugin: has a client answer what `primus.forward.request` asks.
 *
 * Primus bundles it into its library as the text that it is. So it sees nothing but its argument and what any browser has, and is written in ES5. The wire is
 * in docs/requests.md:
 * * It adds a random word to the query of the URL, by which servers know that it is there. In front of a request it stands again, so that a message
 *   which others made up and the application passed on is never taken for one. It is added behind `uri`: applications replace the query in `outgoing::url`.
 * * A request is swallowed behind all incoming transformers, so that it may pass through those of the application. They are there when the connection opens.
 * * What is answered when the connection has gone is dropped: Primus would keep it for the next one, where nobody asked. 3 is its word for open.
 *
 * @example
 * primus.on('request', function (data, reply) { reply({ pong: data }) })
 */
export function client(primus: ClientPrimus): void {
  var key = 'metroplex::request'
  var word = 'm' + Math.random().toString(36).slice(2)
  var uri = primus.uri

  primus.uri = function (options) {
    var url = uri.call(primus, options)
    var own = '_metroplex=' + word
    if (typeof url === 'string') return url.indexOf('?') < 0 ? url : url + '&' + own
    url.query = url.query ? url.query + '&' + own : own
    return url
  }

  primus.on('incoming::open', function () {
    var transformers = primus.transformers
    if (transformers) transformers.incoming = transformers.incoming.filter(function (fn) { return fn !== swallow }).concat(swallow)
  })

  function swallow(packet: { data: unknown }): boolean {
    var request = packet.data ? (packet.data as Record<string, unknown[] | undefined>)[key] : undefined
    if (!request || request[0] !== word) return true
    var id = request[1]
    var data = request[2]
    var socket = primus.socket
    var listeners = primus.listeners('request')
    var answered = false

    function answer(rest: unknown[]): void {
      var message: Record<string, unknown[]> = {}
      if (answered) return
      answered = true
      message[key] = [id].concat(rest)
      if (primus.socket === socket && primus.readyState === 3) primus.write(message)
    }
    function fail(error: unknown): void {
      answer([null, String(error && (error as Error).message || error)])
    }
    function reply(value?: unknown): void {
      if (Object.prototype.toString.call(value) === '[object Error]') fail(value)
      else answer(value === undefined ? [] : [value])
    }
    function resolved(value: unknown): void {
      if (value !== undefined) reply(value)
    }

    if (!listeners.length) fail("nobody listens to 'request'")
    listeners.forEach(function (listener) {
      try {
        var result = listener.call(primus, data, reply) as PromiseLike<unknown> | undefined
        if (result && typeof result.then === 'function') result.then(resolved, fail)
      } catch (error) {
        fail(error)
      }
    })
    return false
  }
}
