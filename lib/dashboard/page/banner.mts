/** Show a sentence above the view; `''` for none. */
export function banner(text: string): void {
  const element = document.querySelector<HTMLElement>('#banner')
  if (element === null) return
  if (element.textContent !== text) element.textContent = text
  element.hidden = text === ''
}

/** Let something go on by itself; a failure is shown. */
export function unawaited(task: Promise<unknown>): void {
  task.catch((error: unknown) => {
    banner(error instanceof Error ? error.message : String(error))
  })
}
