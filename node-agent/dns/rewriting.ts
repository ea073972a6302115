/** What is answered to a question that was rewritten, with the names that who asked knows. */
import type { Answer } from 'dns-packet'
import { renamed, type AnswerRule } from '#shared/network/rewrites.ts'
import type { Resolved } from './zone.ts'

/** Where a record's data names something: the field of the data, '' for the whole of it. */
const named: Readonly<Record<string, string>> = { CNAME: '', DNAME: '', NS: '', PTR: '', SRV: 'target', MX: 'exchange', SOA: 'mname', NAPTR: 'replacement' } // prettier-ignore

function rewrittenRecord(rules: readonly AnswerRule[], record: Answer): Answer {
  const made = { ...record, name: renamed(rules, 'name', record.name) } as Record<string, unknown>
  const field = named[record.type]
  if (field === '') made['data'] = renamed(rules, 'value', String(made['data']))
  else if (field !== undefined) {
    const data = made['data'] as Record<string, unknown>
    made['data'] = { ...data, [field]: renamed(rules, 'value', String(data[field])) }
  }
  for (const rule of rules) if (rule.of === 'ttl') made['ttl'] = Math.min(rule.most, Math.max(rule.least, Number(made['ttl'] ?? 0)))
  return made as unknown as Answer
}

export const rewrittenAnswers = (rules: readonly AnswerRule[], { exists, answers, additionals }: Resolved): Resolved => ({
  exists,
  answers: answers.map(a => rewrittenRecord(rules, a)),
  additionals: additionals.map(a => rewrittenRecord(rules, a)),
})
