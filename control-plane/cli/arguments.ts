/** What the commands of cox have in common: checks of their arguments, and the options that all of them take. */
import { isIPv4 } from 'node:net'
import { Command, InvalidArgumentError, Option } from 'commander'

export interface Common {
  stateDir: string
  output: 'table' | 'json'
}

export const say = (text: string): boolean => process.stdout.write(`${text}\n`)

export function wholeNumber(min: number, max: number) {
  return (text: string): number => {
    const n = Number(text)
    if (!/^\d+$/.test(text) || n < min || n > max) throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`)
    return n
  }
}

/** With two, none may fail. */
export function oneOrThree(text: string): 1 | 3 {
  if (text !== '1' && text !== '3') throw new InvalidArgumentError('It must be 1 or 3.')
  return text === '1' ? 1 : 3
}

/** `ADDRESS[:PORT]`, or `none`. */
export function listenAddress(text: string): string {
  const [, address = '', port = '4222'] = /^([^:]+)(?::(\d+))?$/.exec(text) ?? []
  // Three nats-servers have three ports, and three more to hear each other.
  if (text !== 'none' && (!isIPv4(address) || address.startsWith('127.') || Number(port) < 1 || Number(port) > 63_533))
    throw new InvalidArgumentError('It must be an IPv4 address that other machines reach this one at, with or without a port.')
  return text
}

export function ipv4(text: string): string {
  if (!isIPv4(text)) throw new InvalidArgumentError('It must be an IPv4 address.')
  return text
}

/** `nats://ADDRESS:PORT`, several with commas between them. */
export function joinServers(text: string): string {
  if (!text.split(',').every(url => /^nats:\/\/[^\s/:]+(:\d+)?$/.test(url)))
    throw new InvalidArgumentError('It must be nats://ADDRESS:PORT.')
  return text
}

/** The value of a label, and not an empty one. */
export function labelValue(text: string): string {
  if (!/^[A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?$/.test(text))
    throw new InvalidArgumentError('It must have 63 letters, digits, "-", "_" and "." at most, and begin and end with a letter or digit.')
  return text
}

export function notEmpty(text: string): string {
  if (text === '') throw new InvalidArgumentError('It must not be empty.')
  return text
}

export const command = (parent: Command, name: string, description: string): Command =>
  parent
    .command(name)
    .description(description)
    .exitOverride()
    .allowExcessArguments(false)
    .addOption(
      new Option('--state-dir <dir>', 'where the cluster keeps everything it knows').default('.coxswain').env('COXSWAIN_STATE_DIR'),
    )
