import { pageFiles } from '../../lib/dashboard/files/page-files'
import { assume } from '../support/assume'
import { httpAsk, JSON_BODY, servePage, type ServedPage } from '../support/dashboard'
import { sharedRedis } from '../support/shared-redis'

describe('the page of a cluster is safe: it', () => {
  const shared = sharedRedis()
  const serve = (options: Parameters<typeof servePage>[1] = {}): Promise<ServedPage> =>
    servePage(shared.redis.url, { namespace: shared.space, ...options })

  it('lets browsers load nothing from elsewhere, and nothing run that is in its text', async () => {
    const { url } = await serve()
    for (const path of ['', 'page.css', 'main.mjs', 'api/servers']) {
      const { status, headers } = await httpAsk(url + path)
      assume(status).equals(200)
      const policy = String(headers['content-security-policy'])
      for (const part of [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        'img-src data:',
        "frame-ancestors 'none'"
      ])
        assume(policy.split('; ')).includes(part)
      assume(policy).does.not.include('unsafe')
      assume(headers['x-content-type-options']).equals('nosniff')
      assume(headers['cache-control']).equals('no-store')
    }
  })

  it('is small: all its files together have less than 40 kB', () => {
    const bytes = [...pageFiles().values()].reduce((sum, { body }) => sum + Buffer.byteLength(body), 0)
    assume(bytes).is.below(40_000)
  })

  it('refuses what another site has a browser ask', async () => {
    const { url, port } = await serve()
    const end = { method: 'POST', body: '{"kind":"user","name":"alice"}' }
    for (const site of ['cross-site', 'same-site']) {
      for (const asked of [{}, end]) {
        const headers = { ...JSON_BODY, 'sec-fetch-site': site }
        const { status, error } = await httpAsk(`${url}api/${asked === end ? 'end' : 'servers'}`, { ...asked, headers })
        assume([status, error]).eql([403, 'This request comes from a page of another site, and is refused.'])
      }
    }
    for (const origin of ['http://evil.example', 'null', `https://127.0.0.1:${port}0`]) {
      const { status } = await httpAsk(`${url}api/end`, { ...end, headers: { ...JSON_BODY, origin } })
      assume([origin, status]).eql([origin, 403])
    }
    const own = { ...JSON_BODY, origin: `http://127.0.0.1:${port}`, 'sec-fetch-site': 'same-origin' }
    assume((await httpAsk(`${url}api/servers`, { headers: own })).status).equals(200)
    // A link to the page is no harm.
    const link = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }
    assume((await httpAsk(url, { headers: link })).status).equals(200)
    assume((await httpAsk(`${url}api/servers`, { headers: link })).status).equals(403)
  })

  it('refuses names that are not its own, against DNS rebinding', async () => {
    const { url } = await serve({ hosts: ['admin.example.com'] })
    const status = async (host: string): Promise<number> => (await httpAsk(url, { headers: { host } })).status
    assume(await status('rebound.example:8090')).equals(403)
    assume(await status('127.0.0.1.evil.example')).equals(403)
    for (const host of [
      'localhost:1',
      '127.0.0.1',
      '[::1]:8090',
      '10.0.0.5:8090',
      'admin.example.com',
      'Admin.Example.Com:80'
    ])
      assume([host, await status(host)]).eql([host, 200])
    const { error } = await httpAsk(url, { headers: { host: 'rebound.example' } })
    assume(error).equals('This page is not served under the name rebound.example: add it to its hosts.')
  })

  it('asks for its token, and slows down addresses that guess', async () => {
    const token = 'a token of some length'
    const { url } = await serve({ token })
    const ask = (given?: string): ReturnType<typeof httpAsk> =>
      httpAsk(`${url}api/servers`, given === undefined ? {} : { headers: { authorization: `Bearer ${given}` } })
    assume((await httpAsk(url)).status).equals(200)
    const none = await ask()
    assume([none.status, none.error]).eql([401, 'This page asks for a token: give it to log in.'])
    assume((await ask(token)).status).equals(200)
    const statuses: number[] = []
    for (let i = 0; i < 5; i++) statuses.push((await ask(`guess ${i}`)).status)
    assume(statuses).eql([401, 401, 401, 401, 401])
    const slowed = await ask(token)
    assume(slowed.status).equals(429)
    assume(slowed.error).matches(/^Too many wrong tokens came from 127\.0\.0\.1: wait 1 s, and try again\.$/)
    assume(slowed.headers['retry-after']).equals('1')
    assume((await ask()).status).equals(401)
  })

  it('asks the application, if that decides', async () => {
    const { url } = await serve({
      authorize: req => {
        if (req.headers['x-user'] === 'broken') throw new Error('the users cannot be asked')
        return Promise.resolve(req.headers['x-user'] === 'ann')
      }
    })
    const as = async (user: string, path = 'api/servers'): Promise<[number, string]> => {
      const { status, error } = await httpAsk(url + path, { headers: { 'x-user': user } })
      return [status, error]
    }
    assume(await as('ann')).eql([200, ''])
    assume(await as('bob')).eql([403, 'You may not use this page: ask those who run it.'])
    assume(await as('bob', '')).eql([403, 'You may not use this page: ask those who run it.'])
    assume(await as('broken')).eql([500, 'the users cannot be asked'])
  })

  it('answers its own machine only, without a token and without the application', async () => {
    const { url } = await serve({})
    assume((await httpAsk(`${url}api/servers`)).status).equals(200)
    const elsewhere = await servePage(shared.redis.url, { namespace: shared.space }, page => (req, res) => {
      Object.defineProperty(req.socket, 'remoteAddress', { value: '10.0.0.9' })
      page(req, res)
    })
    for (const path of ['', 'api/servers']) {
      const { status, error } = await httpAsk(elsewhere.url + path)
      assume(status).equals(403)
      assume(error).includes('its own machine only')
    }
  })

  it('only shows when it is read-only', async () => {
    const { url, ask } = await serve({ readOnly: true })
    assume((await ask<{ head: { readOnly: boolean } }>('servers')).head.readOnly).true()
    for (const action of ['send', 'end', 'drain']) {
      const { status, error } = await httpAsk(`${url}api/${action}`, { method: 'POST', headers: JSON_BODY, body: '{}' })
      assume([status, error]).eql([403, 'This page only shows: it was started read-only.'])
    }
  })

  it('says in a sentence what is wrong with a request', async () => {
    const { url } = await serve()
    const post = (body: string, headers: Record<string, string> = JSON_BODY, action = 'end') =>
      httpAsk(`${url}api/${action}`, { method: 'POST', headers, body })
    const wrong: [reply: ReturnType<typeof httpAsk>, status: number, error: RegExp][] = [
      [httpAsk(`${url}api/nothing`), 404, /^Nothing answers GET api\/nothing here\.$/],
      [httpAsk(`${url}..%2fpackage.json`), 404, /^Nothing answers/],
      [httpAsk(`${url}api/servers`, { method: 'DELETE' }), 404, /^Nothing answers DELETE api\/servers here\.$/],
      [httpAsk(`${url}api/end`), 404, /^Nothing answers GET api\/end here\.$/],
      [
        httpAsk(`${url}api/servers?sort=luck`),
        400,
        /^The servers cannot be sorted by luck: sort them by one of hurt, /
      ],
      [httpAsk(`${url}api/servers?page=-1`), 400, /^page must be a whole number from 0; given: -1\.$/],
      [httpAsk(`${url}api/find`), 400, /^The request lacks q\.$/],
      [httpAsk(`${url}api/sparks?address=a&from=x`), 400, /^from must be a place/],
      [post('{}', {}), 400, /^The body must be JSON, with the content-type application\/json\.$/],
      [post('{'), 400, /^The body is not JSON: /],
      [post('[]'), 400, /^The body must be a JSON object\.$/],
      [post('{"kind":"all"}'), 400, /^kind must be one of spark, user, group; given: 'all'\.$/],
      [post('{"kind":"user","name":""}'), 400, /^a user must be a string of 1 to 1024 bytes of UTF-8; given: ''\.$/],
      [post('{"kind":"group","name":"a","for":5}'), 400, /^`for` keeps users out: give a user\.$/],
      [post('{"kind":"user","name":"a","for":-5}'), 400, /^`for` must be a whole number of milliseconds/],
      [post('{"kind":"user","name":"a"}', JSON_BODY, 'send'), 400, /^The request has no message\.$/],
      [post('{"address":"x","rate":0}', JSON_BODY, 'drain'), 400, /^`rate` must be a number of sparks a second/],
      [post(`"${'x'.repeat(300_000)}"`), 413, /^The body must have at most 262144 bytes\.$/]
    ]
    for (const [reply, status, error] of wrong) {
      const { status: given, error: sentence } = await reply
      assume([given, sentence]).eql([status, sentence])
      assume(sentence).matches(error)
    }
    const none = await post('{"kind":"user","name":"alice"}')
    assume([none.status, none.error]).eql([503, 'No server can be reached: none of metroplex 2 is alive.'])
  })

  it('refuses wrong options before it is served', async () => {
    const wrong: [options: object, sentence: RegExp][] = [
      [{ path: 'cluster' }, /`path` must be a path such as '\/cluster'; given: 'cluster'/],
      [{ token: 'short' }, /`token` must have 16 characters or more, so that it cannot be guessed; given: 5\.$/],
      [{ token: 5 }, /`token` must be a string/],
      [{ hosts: ['http://a'] }, /`hosts` must be an array of names/],
      [{ readOnly: 'yes' }, /`readOnly` must be true or false/],
      [{ authorize: true }, /`authorize` must be a function of a request/],
      [{ environment: 1 }, /`environment` must be a string/],
      [{ metroplex: { lease: 5 } }, /option `metroplex\.lease` is not known/],
      [{ readonly: true }, /option `readonly` is not known\. Did you mean `readOnly`\?/]
    ]
    for (const [options, sentence] of wrong) {
      const error = await serve(options).then(
        () => undefined,
        (error: unknown) => error as Error
      )
      assume(error?.message).matches(sentence)
    }
  })
})
