/** Appends to the list under a name, which is created when it is missing. */
export function pushTo<K, V>(lists: Map<K, V[]>, name: K, value: V): void {
  const list = lists.get(name)
  if (list) list.push(value)
  else lists.set(name, [value])
}
