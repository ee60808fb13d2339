/**
 * The times of a run, in ms, and what the design promises in terms of them.
 *
 * 300 is the shortest lease that the options allow; twice that keeps a busy machine from deciding who lives.
 */
export const LEASE = 600

/** From one beat to the next. */
export const BEAT = LEASE / 3

/** The deadline of a question to Redis. */
export const TIMEOUT = 500

/** The longest pause between two attempts to reach Redis. */
const RECONNECT = 1000

/** What a machine that is busy with many runs may add. */
const SLACK = 3000

/**
 * How long the registry may be wrong about a server that lives and has its connection: until the next beat, and the
 * time to heal.
 */
export const QUICK = BEAT + SLACK

/**
 * The same after its connection was harmed: a question that has to be given up, a pause, a connection, a beat, a heal.
 */
export const SLOW = TIMEOUT + RECONNECT + BEAT + SLACK

/**
 * How long until what no beat can see is right: an audit comes every twenty leases, give or take half of that.
 *
 * That is the case of an id whose new server ended before it could tell the former one, which still has it, too.
 */
export const AUDIT = 30 * LEASE + SLACK

/**
 * How long until the registry is exactly what is there, once the network is whole.
 *
 * All are connected again; they beat for a lease without a break before they bury any server; the sweep may still be
 * held by one that died, for two beats; the next beat asks for it, and the one after that tells the others. Who is
 * merely absent, as after a flush, is believed in for a lease and a beat instead, which ends sooner.
 */
export const SETTLE = TIMEOUT + RECONNECT + LEASE + 2 * BEAT + LEASE + 2 * BEAT + SLACK
