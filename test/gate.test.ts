import { begins, type GatedRequest } from '../lib/drain/gate'
import { assume } from './support/assume'

/** A request, as `GET /primus/…`, or `UPGRADE /primus/…`. */
function asked(line: string): GatedRequest {
  const [method = '', url = ''] = line.split(' ')
  const { pathname, searchParams } = new URL(`http://localhost${url}`)
  const upgrade = method === 'UPGRADE'
  return { method: upgrade ? 'GET' : method, path: pathname.slice('/primus'.length), query: searchParams, upgrade }
}

/** By transformer, what begins a spark, and what does not; `mine` is the session of a spark that is there. */
const ROWS: Record<string, { begin: string[]; other: string[] }> = {
  websockets: {
    begin: ['UPGRADE /primus', 'UPGRADE /primus/?a=b'],
    other: ['GET /primus', 'POST /primus/mine']
  },
  faye: { begin: ['UPGRADE /primus'], other: ['GET /primus'] },
  uws: { begin: ['UPGRADE /primus'], other: ['GET /primus'] },
  custom: { begin: ['UPGRADE /primus'], other: ['GET /primus'] },
  sockjs: {
    begin: [
      'GET /primus/info',
      'GET /primus/info?t=1',
      'GET /primushello/info',
      'OPTIONS /primus/info',
      'UPGRADE /primus/012/theirs/websocket',
      'UPGRADE /primus/websocket',
      'UPGRADE /primus/012/mine/websocket',
      'POST /primus/012/theirs/xhr',
      'POST /primushello/012/theirs/xhr/',
      'POST /primus/012/theirs/xhr_streaming?t=1',
      'GET /primus/012/theirs/eventsource',
      'GET /primus/012/theirs/htmlfile?c=f',
      'GET /primus/012/theirs/jsonp?c=f'
    ],
    other: [
      'GET /primus',
      'GET /primus/iframe.html',
      'POST /primus/012/theirs/xhr_send',
      'POST /primus/012/theirs/jsonp_send',
      'POST /primus/012/mine/xhr',
      'POST /primus/345/mine/xhr_streaming',
      'GET /primus/012/mine/jsonp?c=f',
      'OPTIONS /primus/012/mine/xhr',
      'GET /primus/rooms/info',
      'POST /primus/012/theirs/xhr/more'
    ]
  },
  'engine.io': {
    begin: [
      'GET /primus/?EIO=4&transport=polling',
      'UPGRADE /primus/?EIO=4&transport=websocket',
      'GET /primus/?transport=polling&sid='
    ],
    other: [
      'GET /primus/?EIO=4&transport=polling&sid=mine',
      'POST /primus/?EIO=4&transport=polling&sid=mine',
      'UPGRADE /primus/?transport=websocket&sid=mine',
      'GET /primus/stats'
    ]
  },
  browserchannel: {
    begin: ['GET /primus/test?VER=8&MODE=init', 'POST /primus/bind?VER=8&RID=1'],
    other: [
      'POST /primus/bind?VER=8&RID=2&SID=mine',
      'GET /primus/bind?VER=8&SID=mine&TYPE=xmlhttp',
      'GET /primus/bcsocket.js'
    ]
  }
}

describe('what begins a spark', () => {
  for (const [transformer, { begin, other }] of Object.entries(ROWS)) {
    it(`is recognised in the requests of ${transformer}`, () => {
      const beginning = (line: string): boolean => begins(transformer, asked(line), session => session === 'mine')
      assume(begin.filter(line => !beginning(line))).deep.equals([])
      assume(other.filter(beginning)).deep.equals([])
    })
  }
})
