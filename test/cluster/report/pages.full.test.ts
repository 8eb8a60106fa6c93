import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { recoveryPage } from '../../../src/cluster/restore/report/html.ts';
import type { SnapshotRun } from '../../../src/cluster/snapshot/document.ts';
import { runPage } from '../../../src/cluster/snapshot/report/html.ts';
import { Chromium, type Look, type Tab } from '../../support/chromium.ts';
import { drillOf, memberOf, restoreOf } from '../restore/recovery-of-test.ts';
import { runOf } from '../snapshot/runs-of-test.ts';

// Chromium is installed and started here, on a machine that may do much else.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 600_000 });

/** A name that would run a script, break out of an attribute, and fill the screen. */
const HOSTILE = `</title></style><img src=x onerror=console.error(1)>"'&${'w'.repeat(200)}`;

/** With pictures kept there, to be looked at. */
const PICTURES = process.env['QUIESCE_TEST_PICTURES'];

const SCREEN = { scheme: 'light', media: 'screen' } as const;
const LOOKS: Readonly<Record<string, Look>> = {
  light: { width: 1_200, height: 900, ...SCREEN },
  dark: { width: 1_200, height: 900, scheme: 'dark', media: 'screen' },
  phone: { width: 360, height: 780, ...SCREEN },
  'a dark phone': { width: 360, height: 780, scheme: 'dark', media: 'screen' },
  print: { width: 718, height: 1_000, scheme: 'light', media: 'print' },
};

function snapshotOf(name: string): SnapshotRun {
  const run = { id: 'shop-20261130020000-ab12', group: 'shop' };
  const snapshots = ['data-db-0', 'data-queue-0', `data-${name}`].map((claim) => ({
    namespace: 'shop',
    name: `${claim}-20261130020000-ab12`,
    claim,
    cutAt: '2026-11-30T02:00:01Z',
    ready: true,
    restoreSize: 2 ** 33,
    cut: true,
  }));
  const problems = [{ code: 'NOTE', message: name, hint: `${name}\n  ${name}` }];
  return runOf(run, { run, group: false, snapshots, problems: [] }, { problems });
}

const PAGES: Readonly<Record<string, (name: string) => string>> = {
  snapshot: (name) => runPage(snapshotOf(name)),
  restore: (name) => {
    const { layers, members } = restoreOf();
    const stuck = memberOf(name, {
      level: 'unproven',
      message: name,
      timeline: { gatedMs: 900, releasedMs: 50_000 },
      problems: [{ code: 'CRASH_LOOP', message: name, hint: name }],
    });
    return recoveryPage(
      restoreOf({
        verdict: 'failed',
        members: [...members, stuck],
        layers: layers.map((one, n) => (n === 2 ? { members: [...one.members, stuck] } : one)),
        notKept: [{ member: stuck, volume: name, why: name }],
      }),
    );
  },
  drill: (name) => recoveryPage(drillOf({ group: name, removed: false, scratch: [name] })),
};

let dir: string;
let browser: Chromium;
/** On a machine without Chromium, Debian's package is installed first. */
const INSTALL_MS = 900_000;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'q-pages-'));
  if (PICTURES !== undefined) await mkdir(PICTURES, { recursive: true });
  browser = await Chromium.start();
}, INSTALL_MS);

afterAll(async () => {
  await browser?.stop();
  await rm(dir, { recursive: true, force: true });
});

async function opened(kind: string, name = 'files-0'): Promise<Tab> {
  const file = join(dir, `${kind}.html`);
  await writeFile(file, PAGES[kind]?.(name) ?? '');
  return await browser.open(file);
}

/** The brightness of a colour as the browser computes it, from 0 to 255. */
const BRIGHTNESS = `((name, of) => { const [r, g, b] = getComputedStyle(of)[name].match(/\\d+/g).map(Number);
  return (r + g + b) / 3; })`;

describe.each(Object.keys(PAGES))('the page of a %s', (kind) => {
  test('has no script, makes no request and says nothing in the console', async () => {
    const tab = await opened(kind, HOSTILE);
    expect(await tab.read<number>('document.scripts.length')).toBe(0);
    expect(await tab.read<number>('document.querySelectorAll("img, link, iframe").length')).toBe(0);
    expect(tab.seen).toEqual({ messages: [], requests: [] });
  });

  test('shows a hostile name as it is', async () => {
    const tab = await opened(kind, HOSTILE);
    expect(await tab.read<string>('document.body.textContent')).toContain(HOSTILE);
    expect(await tab.read<number>('document.querySelectorAll("title").length')).toBeGreaterThan(0);
    expect(await tab.read<string>('document.body.innerText')).toContain('onerror');
  });

  test.each(Object.keys(LOOKS))('fits and can be read: %s', async (how) => {
    const look = LOOKS[how] as Look;
    for (const name of ['files-0', HOSTILE]) {
      const tab = await opened(kind, name);
      await tab.look(look);
      const wide = await tab.read<number>('document.documentElement.scrollWidth');
      expect(wide, name).toBeLessThanOrEqual(look.width);
      // Nothing has to be scrolled sideways inside of the page, either.
      const inner = await tab.read<string[]>(
        `[...document.querySelectorAll('body *')].filter((one) => one.scrollWidth > one.clientWidth + 1
          && getComputedStyle(one).display !== 'inline' && !(one instanceof SVGElement))
          .map((one) => one.outerHTML.slice(0, 80))`,
      );
      expect(inner, name).toEqual([]);
      const ink = await tab.read<number>(`${BRIGHTNESS}('color', document.body)`);
      const paper = await tab.read<number>(`${BRIGHTNESS}('backgroundColor', document.body)`);
      expect(Math.abs(ink - paper)).toBeGreaterThan(150);
      expect(paper < 100).toBe(look.scheme === 'dark');
      if (PICTURES !== undefined && name !== HOSTILE) {
        await writeFile(join(PICTURES, `${kind}-${how}.png`), await tab.picture());
      }
    }
  });

  test('draws every bar inside of its picture, wide enough to be seen', async () => {
    const tab = await opened(kind);
    for (const how of ['light', 'phone']) {
      await tab.look(LOOKS[how] as Look);
      const bars = await tab.read<{ inside: boolean; width: number }[]>(
        `[...document.querySelectorAll('.row rect')].map((one) => {
          const [bar, all] = [one, one.ownerSVGElement].map((of) => of.getBoundingClientRect());
          return { inside: bar.left >= all.left - 1 && bar.right <= all.right + 1, width: bar.width };
        })`,
      );
      expect(bars.length).toBeGreaterThan(5);
      expect(bars.filter(({ inside, width }) => !inside || width < 0.5)).toEqual([]);
    }
  });
});
