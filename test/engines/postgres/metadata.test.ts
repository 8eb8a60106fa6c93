import { describe, expect, it } from 'vitest';
import { readEachDatabase } from '../../../src/engines/postgres/metadata/each-database.ts';
import { withMemberships } from '../../../src/engines/postgres/metadata/read-parts.ts';
import type { Session } from '../../../src/engines/postgres/connection/session.ts';
import { MOST_ROWS, Parts } from '../../../src/engines/shared/parts.ts';

describe('the roles of a server', () => {
  it('that has fifty thousand of them and of memberships take seconds at most', () => {
    const roles = Array.from({ length: 50_000 }, (_none, at) => ({ name: `r${at}` }));
    const memberships = roles.map(({ name }) => {
      return { member: name, role: 'all', grantor: 'postgres', admin: false };
    });
    const began = performance.now();
    const found = withMemberships(roles, memberships);
    expect(performance.now() - began).toBeLessThan(5_000);
    expect(found.at(-1)).toEqual({
      name: 'r49999',
      memberOf: [{ role: 'all', grantor: 'postgres', admin: false }],
    });
    expect(withMemberships([{ name: 'alone' }], memberships)).toEqual([
      { name: 'alone', memberOf: [] },
    ]);
  });
});

describe('what each database has', () => {
  it('is bounded over all of them, and says where it was cut', async () => {
    const databases = ['a', 'b', 'c'].map((name) => ({ name, allowsConnections: true }));
    const rows = Array.from({ length: MOST_ROWS / 2 }, (_none, at) => ({ name: `c${at}` }));
    const session = {
      query: async (sql: string) => (sql.includes('pg_extension') ? [{ name: 'e' }] : rows),
      close: async () => undefined,
    } as unknown as Session;
    const parts = new Parts();
    const { signal } = new AbortController();
    const found = await readEachDatabase(databases, async () => session, parts, signal);
    expect(found.extensions).toHaveLength(3);
    expect(found.collations).toHaveLength(MOST_ROWS);
    expect(parts).toMatchObject({
      absent: [],
      truncated: [`collations: only the first ${MOST_ROWS}`],
    });
  });

  it('says how many databases were left out when its time ended', async () => {
    const databases = ['a', 'b', 'c'].map((name) => ({ name, allowsConnections: true }));
    const late = new AbortController();
    const session = {
      query: async () => [],
      close: async () => late.abort(),
    } as unknown as Session;
    const parts = new Parts();
    await readEachDatabase(databases, async () => session, parts, late.signal);
    expect(parts.absent).toEqual([
      {
        part: 'extensions and collations of 2 further databases',
        reason: 'The time for the metadata ended after database a.',
      },
    ]);
  });
});
