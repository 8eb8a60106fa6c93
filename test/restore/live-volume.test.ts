import { mkdir, mkdtemp, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RestoreModule } from '../../src/engines/restore-module.ts';
import { QuiesceError } from '../../src/errors.ts';
import { outcomeOf } from '../../src/engines/shared/prepared-copy.ts';
import { blankReceipt } from '../../src/freeze/receipt-states.ts';
import type { Receipt } from '../../src/receipt/receipt.ts';
import type { RestoreMark } from '../../src/receipt/restore-mark.ts';
import { ReceiptVolume } from '../../src/receipt/volume.ts';
import { prepareRestore } from '../../src/restore/prepare-restore.ts';
import { RestoreCheck } from '../../src/restore/verify-at-start.ts';
import { CoordinatorRig } from '../support/coordinator-rig.ts';
import { ScriptedEngine } from '../support/scripted-engine.ts';

let root: string;
beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'quiesce-mark-')));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const logger = pino({ level: 'silent' });

/** A held receipt, as a node that loses power leaves it on the volume. */
function heldReceipt(restoreMark: RestoreMark): Receipt {
  const deps = { engine: { name: 'scripted' }, copy: 'snapshot', app: undefined } as const;
  const blank = blankReceipt('nightly', { ...deps, restoreMark });
  return { ...blank, frozenAt: blank.requestedAt, verdict: 'held' };
}

async function leave(restoreMark: RestoreMark): Promise<void> {
  await new ReceiptVolume(root).seal(heldReceipt(restoreMark));
}

describe('prepare-restore --restore-mark', () => {
  let prepared: string[];
  beforeEach(() => {
    prepared = [];
  });

  interface Behaviour {
    halfDone?: boolean;
    refuse?: boolean;
  }

  /** A fake engine that only counts its calls. */
  function counting({ halfDone = false, refuse = false }: Behaviour): RestoreModule {
    return {
      prepareRestore: (receipt, dataDir, { dryRun }) => {
        if (refuse) return Promise.reject(new QuiesceError('RESTORE_INCOMPLETE', 'cut off'));
        prepared.push(receipt.id);
        const copy = { dryRun, id: receipt.id, engine: 'scripted', dataDirectory: dataDir };
        return Promise.resolve(outcomeOf(copy, { message: 'prepared' }));
      },
      isHalfDone: () => Promise.resolve(halfDone),
    };
  }

  const prepare = (
    restoreMark: RestoreMark,
    more: Behaviour & { receipt?: string; dryRun?: boolean } = {},
  ) =>
    prepareRestore(
      {
        dataDir: root,
        dryRun: more.dryRun ?? false,
        restoreMark,
        receiptFile: more.receipt,
        load: () => Promise.resolve(counting(more)),
      },
      AbortSignal.timeout(5_000),
    );

  it.each([
    ['no mark, no restore before', null, null],
    ['the mark in the receipt', 'x', 'x'],
    ['the label lost with the pod', 'x', null],
  ] as const)('%s: a live volume stays as it is', async (_, inReceipt, ofPod) => {
    await leave(inReceipt);
    const before = await readFile(join(root, '.quiesce/receipt.json'), 'utf8');
    expect(await prepare(ofPod)).toMatchObject({
      outcome: 'live-volume',
      id: 'nightly',
      engine: 'scripted',
      placed: [],
      proof: null,
      message: expect.stringMatching(/nothing was changed or proven\.$/),
    });
    expect(prepared).toEqual([]);
    expect(await readdir(join(root, '.quiesce'))).toEqual(['receipt.json']);
    expect(await readFile(join(root, '.quiesce/receipt.json'), 'utf8')).toBe(before);
  });

  it.each([
    ['another mark', 'x', 'y'],
    ['a mark, and none in the receipt', null, 'y'],
    ['a mark, and the receipt of an earlier release', undefined, 'y'],
    ['no flag, because a person calls', null, undefined],
    ['no flag, and the mark of a restored pod in the receipt', 'x', undefined],
  ] as const)('%s: the copy is prepared', async (_, inReceipt, ofPod) => {
    await leave(inReceipt);
    expect(await prepare(ofPod)).toMatchObject({ outcome: 'prepared' });
    expect(prepared).toEqual(['nightly']);
  });

  it('a copy that an earlier run left half changed is finished, even for a pod without a mark', async () => {
    await leave(null);
    expect(await prepare(null, { halfDone: true })).toMatchObject({ outcome: 'prepared' });
  });

  it('a copy that was refused stays one for a later pod without the mark, until it is proven', async () => {
    await leave(null);
    const refusing = { refuse: true };
    await expect(prepare('x', refusing)).rejects.toMatchObject({ code: 'RESTORE_INCOMPLETE' });
    await expect(prepare(null, refusing)).rejects.toMatchObject({ code: 'RESTORE_INCOMPLETE' });
    expect(await prepare(null)).toMatchObject({ outcome: 'prepared' });
    expect(await readdir(join(root, '.quiesce'))).toEqual(['receipt.json']);
  });

  it('a copy that was refused does not make a copy of a later freeze with the same id', async () => {
    await leave(null);
    const refusing = { refuse: true };
    await expect(prepare('x', refusing)).rejects.toMatchObject({ code: 'RESTORE_INCOMPLETE' });
    const later = { ...heldReceipt(null), frozenAt: '2030-01-01T00:00:00.000Z' };
    await new ReceiptVolume(root).seal(later);
    expect(await prepare(null, refusing)).toMatchObject({ outcome: 'live-volume' });
  });

  it('a dry run and a person’s call note nothing', async () => {
    await leave(null);
    const refusing = { refuse: true };
    const refused = { code: 'RESTORE_INCOMPLETE' };
    await expect(prepare('x', { ...refusing, dryRun: true })).rejects.toMatchObject(refused);
    await expect(prepare(undefined, refusing)).rejects.toMatchObject(refused);
    expect(await readdir(join(root, '.quiesce'))).toEqual(['receipt.json']);
  });

  it('a receipt that cannot be read stops a restored pod, and no other', async () => {
    await mkdir(join(root, '.quiesce'));
    await writeFile(join(root, '.quiesce/receipt.json'), '{"half');
    expect(await prepare(null)).toMatchObject({ outcome: 'live-volume', id: null });
    await expect(prepare('x')).rejects.toMatchObject({ code: 'RESTORE_RECEIPT_INVALID' });
    await expect(prepare(undefined)).rejects.toMatchObject({ code: 'RESTORE_RECEIPT_INVALID' });
  });

  it('a volume without a receipt has nothing to prepare, whatever else was given', async () => {
    expect(await prepare(null)).toMatchObject({ outcome: 'nothing-to-do' });
    expect(await prepare('x')).toMatchObject({ outcome: 'nothing-to-do' });
    const receipt = join(root, 'final.json');
    await writeFile(receipt, JSON.stringify(heldReceipt(null)));
    expect(await prepare(null, { receipt })).toMatchObject({ outcome: 'nothing-to-do' });
    await expect(prepare('x', { receipt })).rejects.toMatchObject({ code: 'RESTORE_INCOMPLETE' });
  });
});

describe('the sidecar that starts on a volume with a receipt and without its journal', () => {
  async function start(restoreMark: RestoreMark, engine = new ScriptedEngine()) {
    const results: boolean[] = [];
    const check = new RestoreCheck({
      engine,
      volume: new ReceiptVolume(root),
      stateDir: join(root, 'state'),
      logger,
      restoreMark,
      check: 'position',
      restoreVerified: (_level, reached) => {
        if (reached !== null) results.push(reached);
      },
    });
    await check.start(null);
    await check.waitUntilIdle(AbortSignal.timeout(10_000));
    await check.stop();
    return { results, view: check.view, left: await readdir(join(root, '.quiesce')) };
  }

  it.each([
    [null, null],
    ['x', null],
  ])(
    'receipt %j, pod %j: it is live, no restore is reported, and the receipt goes',
    async (a, b) => {
      await leave(a);
      expect(await start(b)).toEqual({ results: [], view: null, left: [] });
    },
  );

  it('of its own restore, which nothing has proven: it is live, and the restore is reported', async () => {
    await leave('x');
    expect(await start('x')).toMatchObject({
      results: [false, false],
      view: { id: null, level: 'unproven', reason: 'no-receipt' },
      left: ['restored-@state.json'],
    });
  });

  it.each([
    [null, 'x'],
    ['x', 'y'],
    [null, undefined],
    [undefined, undefined],
  ])('receipt %j, pod %j: it is verified as a restored copy', async (a, b) => {
    await leave(a);
    expect(await start(b)).toMatchObject({
      results: [false, true],
      view: { id: 'nightly', verified: true },
      left: ['restored-@state.json', 'restored-nightly.json'],
    });
  });

  it('a copy that was prepared stays one, also for a later pod without the mark', async () => {
    await leave(null);
    await writeFile(join(root, '.quiesce/prepared.json'), '{"id":"nightly"}');
    expect(await start(null)).toMatchObject({ results: [false, true], view: { verified: true } });
  });

  it('a copy that prepare-restore refused stays one, also for a later pod without the mark', async () => {
    await leave(null);
    const text = await readFile(join(root, '.quiesce/receipt.json'), 'utf8');
    const { id, frozenAt } = JSON.parse(text) as Receipt;
    await writeFile(join(root, '.quiesce/copy.json'), JSON.stringify({ id, frozenAt }));
    expect(await start(null)).toMatchObject({ view: { id, verified: true } });
  });

  it('what the dead freeze left in a live server is removed once that server answers', async () => {
    await leave(null);
    const engine = new ScriptedEngine();
    let attempts = 0;
    engine.onRecover = () => {
      attempts += 1;
      return attempts < 3 ? Promise.reject(new Error('no answer yet')) : Promise.resolve();
    };
    expect(await start(null, engine)).toEqual({ results: [], view: null, left: [] });
    expect(engine.calls).toEqual(['recover', 'recover', 'recover']);
  });
});

describe('a freeze with the id of the restore before', () => {
  it('leaves no proof of that restore in its copy', async () => {
    const proof = join(root, '.quiesce/prepared.json');
    await mkdir(join(root, '.quiesce'));
    await writeFile(proof, '{"id":"nightly"}');
    const volume = new ReceiptVolume(root);
    await volume.reserve();
    await volume.seal(heldReceipt(null));
    expect(await readdir(join(root, '.quiesce'))).toEqual(['receipt.json']);
  });
});

describe('the receipt records the mark of the pod that made it', () => {
  it.each([['x'], [null], [undefined]])('%j', async (restoreMark) => {
    const rig = await CoordinatorRig.make();
    try {
      const change = restoreMark === undefined ? {} : { restoreMark };
      const first = rig.coordinator(change);
      await first.load();
      const held = await first.freeze({ id: 'a', by: 'test' });
      expect(held.restoreMark).toBe(restoreMark);
      const onVolume = JSON.parse(await readFile(rig.receiptPath, 'utf8')) as Receipt;
      expect(onVolume.restoreMark).toBe(restoreMark);
      // A sidecar that takes over an open freeze keeps the mark under which it was made.
      const next = await rig.next({ restoreMark: 'other' });
      expect(next.receipts()[0]).toMatchObject({ id: 'a', reasons: ['interrupted'] });
      expect(next.receipts()[0]?.restoreMark).toBe(restoreMark);
    } finally {
      await rig.remove();
    }
  });
});
