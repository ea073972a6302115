/** Rows as people read them. */
import { table } from '#control-plane/cli/print.ts'
import { reached, share, type Row, type Unit } from './measurement.ts'

const digits = (value: number): number => (Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2)
const amount = (value: number, unit: Unit): string => {
  const [whole = '', part] = value.toFixed(digits(value)).split('.')
  return `${whole.replace(/\B(?=(\d{3})+$)/g, ',')}${part ? `.${part}` : ''}${unit === '/s' || unit === '%' ? '' : ' '}${unit}`
}
const mark = (row: Row): string => ({ true: 'yes', false: 'no', undefined: '' })[`${reached(row)}`] ?? ''

export function report(rows: readonly Row[]): string {
  const cells = rows.map(row => {
    const part = share(row)
    return [
      row.name,
      amount(row.value, row.unit),
      row.floor === undefined ? '' : amount(row.floor, row.unit),
      part === undefined ? '' : `${(part * 100).toFixed(part < 0.1 ? 1 : 0)}%`,
      row.target === undefined ? '' : amount(row.target, row.unit),
      mark(row),
      row.floorName ?? '',
    ]
  })
  return table(['FIGURE', 'VALUE', 'FLOOR', 'OF FLOOR', 'TARGET', 'REACHED', 'THE FLOOR IS'], cells)
}
