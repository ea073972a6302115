/** Time zones by their names in the IANA data base. */

/** Whether there is a zone of this name, written like that: unlike Go, JavaScript looks at no case and takes offsets as well. */
export function isTimeZone(name: string): boolean {
  if (/^[+-]?\d/.test(name)) return false
  try {
    const { timeZone } = new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions()
    return timeZone === name || timeZone.toLowerCase() !== name.toLowerCase()
  } catch {
    return false
  }
}
