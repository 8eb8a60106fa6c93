import { entryOf } from '../../engines/names.ts';
import type { Container, EnvVar } from '../objects/pod.ts';
import { Environment } from './environment.ts';
import type { Database } from './find-database.ts';

/** Names of variables that probably hold the password of the server itself. */
const PASSWORD = /(?:^|_)(?:PASS|PASSWD|PASSWORD|PW|PWD|AUTH|REQUIREPASS)(?:_FILE)?$/i;
/** Logins of others: of replication, of an exporter, of a certificate's key. */
const OF_OTHERS =
  /REPL|METRICS|EXPORTER|MONITOR|BACKUP|SENTINEL|TLS|SSL|KEY|POOL|DISABLE|ALLOW|SMTP|LDAP|ADMIN_UI/i;

/**
 * Why the sidecar probably lacks the password that the server asks for: there is one under a name that nobody
 * knows, or none at hand. `undefined`: it has a login, or needs none as far as the pod shows.
 */
export function unknownLogin(
  { container, profile }: Database,
  sidecar: Container,
): string | undefined {
  const { login } = entryOf(profile.name);
  const env = sidecar.env ?? [];
  const starts = (name: string) =>
    env.some((one) => one.name === name || one.name === `${name}_FILE`);
  if ((sidecar.envFrom ?? []).length > 0 || [login.password, ...login.others].some(starts))
    return undefined;
  if (hasLoginInUrl(env, login.url) || usesSocket(env, login.socket)) return undefined;
  // It is known, and only this sidecar lacks it.
  const wanted = profile.connection({
    container,
    env: new Environment(container),
    shared: () => true,
  });
  if (wanted.some(({ name }) => name.startsWith(login.password))) return undefined;
  const suspects = (container.env ?? []).filter(
    (one) => PASSWORD.test(one.name) && !OF_OTHERS.test(one.name) && isSet(one),
  );
  const set = `set quiesce.dev/credentials-secret to a Secret with username and password`;
  if (suspects.length > 0) {
    const names = suspects.map(({ name }) => name).join(', ');
    return `the sidecar has no password: the database's container has ${names}, which no image of ${profile.name} is known to use; ${set}`;
  }
  const why = profile.asksLogin(container);
  return why === undefined ? undefined : `the sidecar has no password, but ${why}; ${set}`;
}

function isSet({ value, valueFrom }: EnvVar): boolean {
  return valueFrom !== undefined || (value ?? '') !== '';
}

function hasLoginInUrl(env: readonly EnvVar[], url: string | undefined): boolean {
  const found = env.find(({ name }) => name === url || name === `${url}_FILE`);
  return (
    found !== undefined &&
    (found.value === undefined || found.value.includes('@') || found.name !== url)
  );
}

function usesSocket(env: readonly EnvVar[], setting: string | undefined): boolean {
  return env.some(({ name, value }) => name === setting && value?.startsWith('/') === true);
}
