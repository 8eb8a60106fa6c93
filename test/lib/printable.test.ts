import { expect, it } from 'vitest';
import { diagnose, describeDiagnosis } from '../../src/cluster/doctor/report.ts';
import { examine } from '../../src/cluster/doctor/examine.ts';
import { errorLine } from '../../src/lib/command-line/failure.ts';
import { printableLines } from '../../src/lib/command-line/printable.ts';
import { inventory } from '../cluster/doctor/support.ts';

const EVIL = 'db\u001b[2J\u009b31m\u202eX';

it('an error line holds nothing that a terminal obeys', () => {
  const line = errorLine({ code: 'USAGE', message: `${EVIL}\nquiesce: ok`, hint: EVIL });
  expect(line).not.toMatch(/\p{C}/u);
  expect(line).toContain('db [2J');
});

it('text of several lines keeps them, and nothing else that a terminal obeys', () => {
  expect(printableLines(`a\n\t${EVIL}\n`)).toBe('a\n\tdb?[2J?31m?X\n');
});

it('the doctor prints what a terminal may show, whatever a manifest holds', () => {
  const metadata = { name: EVIL, namespace: 'shop', annotations: { 'quiesce.dev/stage': EVIL } };
  const labels = { app: 'db', 'quiesce.dev/inject': 'true' };
  const spec = { containers: [{ name: 'db', image: 'postgres:17' }] };
  const workload = {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata,
    spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
  };
  const found = examine(inventory([workload]));
  expect(found.findings.length).toBeGreaterThan(0);
  const text = describeDiagnosis(diagnose(found, { source: EVIL, scope: 'part', unexamined: [] }));
  expect(text).toContain('db [2J');
  expect(text.replaceAll('\n', '')).not.toMatch(/\p{C}/u);
});
