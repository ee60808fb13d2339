/** A range of values that raises an alert, as monitoring plug-ins write it. */
export interface Range {
  readonly text: string
  readonly alerts: (value: number) => boolean
}

/**
 * Reads a limit: a number, or a range as Nagios has it.
 *
 * `10:` alerts below 10, `~:10` above 10, `5:10` outside of it, and `@5:10` inside.
 *
 * @param bad on which side a plain number alerts
 * @returns `undefined` for text of another form
 */
export function limit(text: string, bad: 'above' | 'below'): Range | undefined {
  const [, inside, low = '', colon, high = ''] = /^(@?)(~|-?\d*\.?\d*)(:?)(-?\d*\.?\d*)$/.exec(text) ?? []
  if (inside === undefined || (low === '' && high === '') || low === '-' || high === '-') return undefined
  if (colon === '') {
    const number = Number(low)
    if (!Number.isFinite(number) || inside !== '') return undefined
    return bad === 'below'
      ? { text: `${low}:`, alerts: value => value < number }
      : { text: `~:${low}`, alerts: value => value > number }
  }
  const from = low === '' || low === '~' ? -Infinity : Number(low)
  const to = high === '' ? Infinity : Number(high)
  if (Number.isNaN(from) || Number.isNaN(to) || from > to) return undefined
  const outside = (value: number): boolean => value < from || value > to
  return { text, alerts: inside === '' ? outside : value => !outside(value) }
}
