import { createRequire } from 'node:module'
import type { Server } from 'node:http'
import type { Emitter } from './wait'

/** `require` for what ships no types or is named at run time; every use states what it expects. */
export const load = createRequire(__filename)

/** The part of a server-side connection which tests use. */
export interface SparkUnderTest {
  readonly id: string
  write(data: unknown): boolean
  end(data?: unknown, options?: { reconnect?: boolean }): unknown
}

/** The part of the plugin which tests use under any of its versions; cast it for more. */
export interface MetroplexUnderTest extends Emitter {
  readonly address: string
  connect(spark: SparkUnderTest): unknown
  disconnect(spark: SparkUnderTest): unknown
}

/** The part of a Primus server which tests use. */
export interface PrimusUnderTest extends Emitter {
  readonly connected: number
  readonly connections: Record<string, SparkUnderTest>
  readonly server: Server | null
  readonly metroplex: MetroplexUnderTest
  plugin(name: string, plugin: unknown): this
  spark(id: string): SparkUnderTest | undefined
  forEach(fn: (spark: SparkUnderTest, id: string) => unknown): this
  write(data: unknown): boolean
  destroy(options?: DestroyOptions | null, fn?: (error?: Error) => void): this
}

/** How Primus ends; the times are milliseconds. */
export interface DestroyOptions {
  /** Whether the http server is closed too. @default true */
  close?: boolean
  /** Whether clients are told to come back. @default false */
  reconnect?: boolean
  /** How long to wait before anything happens. @default 0 */
  timeout?: number
}

/** The part of Primus's client which tests use. */
export interface SocketUnderTest extends Emitter {
  readonly readyState: number
  id(fn: (id: string) => void): unknown
  write(data: unknown): boolean
  end(): unknown
}

/** How a client is built and where it connects to. */
export type SocketConstructor = new (url: string, options?: Record<string, unknown>) => SocketUnderTest

/** Primus itself. */
export interface PrimusConstructor {
  new (server: Server, options?: Record<string, unknown>): PrimusUnderTest
  createSocket(options: { transformer: string; parser?: string; plugin?: Record<string, unknown> }): SocketConstructor
}

/** Loads Primus. Only when needed: it is slow, and few tests of the support need it. */
export function loadPrimus(): PrimusConstructor {
  return load('primus') as PrimusConstructor
}

/** Loads an export that is a Primus plugin, omega-supreme for instance. */
export function loadPlugin(specifier: string): unknown {
  return load(specifier)
}
