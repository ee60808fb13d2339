/** Part of `npm run lint`: language, names and lengths. Prints what breaks a rule, and then exits with 1. */
import { complaints } from './rules'

const text = complaints()
process.stderr.write(text)
process.exitCode = text === '' ? 0 : 1
