import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Ledger, Subject } from './fixture.ts';
import type { SharedRig, Rig } from './rig.ts';

const TOKEN = 'control-token-c3d9';

/** The documented privileges are sufficient and minimal; secrets stay secret. Run last: it revokes a right. */
export function describeSecrecy<L extends Ledger>(subject: Subject<L>, shared: SharedRig<L>): void {
  describe('the least-privileged user', () => {
    let rig: Rig<L>;
    beforeAll(async () => {
      rig = await shared.get();
    });

    it('needs no other right, and its secrets are in no answer, log, file or argument', async () => {
      await rig.begin({ QUIESCE_CONTROL_TOKEN: TOKEN });
      const texts = await everythingVisible(rig);
      expectNoSecret(texts, [...rig.world.secrets, TOKEN]);
    });

    it('may read its secrets from files', async () => {
      const { env, secrets } = rig.world;
      const files: Record<string, string | undefined> = {};
      for (const [name, value] of Object.entries(env)) {
        if (!secrets.some((secret) => value.includes(secret))) continue;
        files[name] = undefined;
        files[`${name}_FILE`] = await rig.keep(`${name}.secret`, `${value}\n`);
      }
      expect(Object.keys(files)).not.toEqual([]);
      await rig.begin(files);
      await rig.held({ id: 'from-files' });
      await rig.consistent('from-files');
    });

    it('can neither read nor change application data', async () => {
      expect(await rig.world.trespass()).toEqual([]);
    });

    it('gets a clear error when the server refuses it, and its credentials are printed nowhere', async () => {
      const { wrongCredentials, secrets } = rig.world;
      await rig.begin(wrongCredentials, 'live');
      const refused = await rig.freeze();
      expect(refused).toMatchObject({ status: 502, body: { error: { code: 'ENGINE_AUTH' } } });
      const cli = await rig.sidecar.cli('freeze');
      expect(cli.code).toBe(5);
      const texts = [JSON.stringify(refused.body), cli.stdout, cli.stderr, rig.sidecar.output];
      texts.push(JSON.stringify(await rig.sidecar.status()));
      expectNoSecret(texts, [...Object.values(wrongCredentials), ...secrets]);
      await rig.expectNothingHeld();
    });

    const weaker = subject.withoutRight === 'weaker';
    it(`without a right it needs: ${weaker ? 'the receipt says that the freeze is weaker' : 'the freeze is refused'}`, async () => {
      await rig.world.revoke();
      await rig.begin({}, 'live');
      const { status, body } = await rig.freeze({ id: 'weak' });
      if (weaker) {
        expect(status, JSON.stringify(body)).toBe(200);
        expect(body.reasons).not.toEqual([]);
        expect(body.notes.join(' ')).toMatch(subject.right);
        await rig.consistent('weak');
      } else {
        expect(body.error?.code, JSON.stringify(body)).toBe(subject.withoutRight);
        expect(`${body.error.message} ${body.error.hint}`).toMatch(subject.right);
      }
      await rig.expectNothingHeld(weaker ? 'proof' : 'loss');
    });
  });
}

/** Collects everything that a whole freeze, and the views of it, make visible. */
async function everythingVisible<L extends Ledger>(rig: Rig<L>): Promise<string[]> {
  const { sidecar } = rig;
  const texts: string[] = [];
  const ask = async (method: string, path: string, body?: object): Promise<unknown> => {
    const reply = await sidecar.api(method, path, body);
    texts.push(JSON.stringify(reply.body));
    return reply.body;
  };
  await ask('POST', '/v1/freeze', { id: 'secret' });
  texts.push(...(await textsIn(join(rig.world.volume.path, '.quiesce'))));
  texts.push(...(await textsIn(sidecar.env['QUIESCE_STATE_DIR'] ?? '')));
  texts.push(await readFile(`/proc/${sidecar.pid}/cmdline`, 'utf8').catch(() => ''));
  await ask('GET', '/v1/status');
  await ask('GET', '/v1/metadata');
  await ask('POST', '/v1/freeze', { id: 'other' });
  const receipt = await ask('POST', '/v1/thaw', { id: 'secret' });
  await ask('POST', '/v1/verify', { receipt });
  await ask('GET', '/v1/receipts');
  for (const verb of ['status', 'metadata', 'receipts']) {
    const { stdout, stderr } = await sidecar.cli(verb);
    texts.push(stdout, stderr);
  }
  texts.push(...(await textsIn(sidecar.env['QUIESCE_STATE_DIR'] ?? '')), await sidecar.metrics());
  expect(receipt, 'the whole freeze works').toMatchObject({ verdict: 'consistent' });
  return [...texts, sidecar.output];
}

async function textsIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const files = entries.filter((entry) => entry.isFile());
  return await Promise.all(files.map(({ name }) => readFile(join(folder, name), 'utf8')));
}

/** Fails if a text contains a secret; shows the first 200 characters of such a text. */
function expectNoSecret(texts: readonly string[], secrets: readonly string[]): void {
  for (const secret of secrets) {
    const forms = [secret, encodeURIComponent(secret), Buffer.from(secret).toString('base64')];
    const leaks = texts.filter((text) => forms.some((form) => text.includes(form)));
    expect(leaks.map((text) => text.slice(0, 200))).toEqual([]);
  }
}
