/** What the commands of cox have in common: checks of their arguments, and the options that all of them take. */
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
