import type { IncomingMessage } from 'node:http'

/** The path of a URL, without query and fragment. */
export function pathOf(url: string): string {
  const end = url.search(/[?#]/)
  return end === -1 ? url : url.slice(0, end)
}

/** Whether a request announces a body of more bytes than this. */
export function announcesMore(req: IncomingMessage, most: number): boolean {
  return Number(req.headers['content-length'] ?? 0) > most
}
