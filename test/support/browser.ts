import { spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium, type BrowserContext, type Page } from 'playwright-core'
import { adopt, type Scope } from './dispose'
import { aptInstall, findOrInstall, onPath, type NeededProgram } from './installed'

const CHROMIUM: NeededProgram = {
  names: ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'],
  managers: [
    aptInstall('chromium'),
    { command: 'apk', steps: [['add', '--no-cache', 'chromium']], root: true },
    { command: 'dnf', steps: [['install', '-y', 'chromium']], root: true },
    { command: 'pacman', steps: [['-Sy', '--noconfirm', 'chromium']], root: true }
  ],
  missing: 'no chromium on the PATH, and the tests of the page need a real browser',
  unavailable: reason =>
    `There is no Chromium and it could not be installed (${reason}): install it by hand, so that it is on the PATH`,
  environment: { DEBIAN_FRONTEND: 'noninteractive' }
}

/** Arguments for a browser that asks no host but ours. */
const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync'
]

/** A tab, and what went wrong in it. */
export interface Tab {
  readonly page: Page
  /** Errors of the console, of scripts, and requests to other hosts. */
  readonly wrong: string[]
}

/** How to open a browser. */
export interface BrowserOptions {
  readonly viewport?: { readonly width: number; readonly height: number }
  readonly dark?: boolean
  /** @default 'test' */
  readonly scope?: Scope
}

/** The path of a Chromium, installing one when there is none. @throws an error that says what to install by hand */
export function findChromium(): Promise<string> {
  return findOrInstall(CHROMIUM)
}

/** Why there is no browser, in a sentence; `undefined` when there is one, or one was installed, which takes minutes. */
export function whyNoBrowser(): string | undefined {
  if (onPath(CHROMIUM.names) !== undefined) return undefined
  // Names of tests have to be known before any of them runs.
  const code =
    'require(process.argv[1]).findChromium().catch(error => { console.error(error.message); process.exit(1) })'
  const { status, stderr } = spawnSync(process.execPath, ['-e', code, __filename], { encoding: 'utf8' })
  process.stderr.write(stderr)
  return status === 0 ? undefined : stderr.trim().split('\n').at(-1)
}

/** Open a headless Chromium that remembers nothing, until the end of the test. Resolves with its tab. */
export async function openTab(options: BrowserOptions = {}): Promise<Tab> {
  const { viewport = { width: 1280, height: 800 }, dark = false, scope } = options
  const executablePath = await findChromium()
  const profile = await mkdtemp(join(tmpdir(), 'metroplex-browser-'))
  const opened: { context?: BrowserContext } = {}
  adopt(async () => {
    await opened.context?.close()
    await rm(profile, { recursive: true, force: true, maxRetries: 3 })
  }, scope)
  const context = (opened.context = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    args: ARGS,
    viewport,
    colorScheme: dark ? 'dark' : 'light'
  }))
  const page = context.pages()[0] ?? (await context.newPage())
  // Several test runs share the processors.
  page.setDefaultTimeout(30_000)
  const wrong: string[] = []
  page.on('console', message => {
    if (message.type() === 'error') wrong.push(message.text())
  })
  page.on('pageerror', error => wrong.push(String(error)))
  page.on('request', request => {
    const { protocol, hostname } = new URL(request.url())
    if (protocol !== 'data:' && hostname !== '127.0.0.1') wrong.push(`a request to ${request.url()}`)
  })
  return { page, wrong }
}
