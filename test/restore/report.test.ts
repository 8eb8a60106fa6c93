import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { expect, it } from 'vitest';
import { ReceiptVolume } from '../../src/receipt/volume.ts';
import { type RestoreRecord, RestoreRecords } from '../../src/restore/record.ts';
import { RestoreReport } from '../../src/restore/report.ts';
import { withoutReceipt } from '../../src/restore/view.ts';

/** A disk on which the first write takes longest. */
class SlowRecords extends RestoreRecords {
  readonly written: RestoreRecord[] = [];
  #delayMs = 100;

  override async write(record: RestoreRecord): Promise<string | null> {
    const delayMs = this.#delayMs;
    this.#delayMs = 1;
    await sleep(delayMs);
    this.written.push(record);
    return null;
  }
}

it('an acknowledgement stands, though the judgement before it is still being written', async () => {
  const records = new SlowRecords(new ReceiptVolume(undefined), '/nowhere');
  const logger = pino({ enabled: false });
  const report = new RestoreReport(
    { logger, check: 'position', restoreVerified: () => undefined },
    records,
  );
  const view = withoutReceipt('r1', true, false);
  report.show(view);
  await Promise.all([report.conclude(view), report.acknowledge('me')]);
  expect(report.view).toBeNull();
  expect(records.written.at(-1)?.settled).toMatchObject({ by: 'me' });
});
