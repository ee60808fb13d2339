/** How long a disconnect may take, in ms. */
export const DISCONNECT_TIMEOUT = 100

/** Timeouts of the application that must not apply: ours cover a whole operation. */
export const UNBOUNDED = { commandTimeout: undefined, socketTimeout: undefined } as unknown as object

/** Special purposes of the client of the application. ioredis 5 has no `himportFieldsets`. */
export const NO_PURPOSE = { monitor: false, himportFieldsets: undefined } as unknown as object
