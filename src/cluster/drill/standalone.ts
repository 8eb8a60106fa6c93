import type { EngineName } from '../../engines/names.ts';
import type { Container } from '../objects/pod.ts';

/**
 * Settings that make a copy of one member keep to itself. The network policy is what guarantees it; these keep
 * the copy from trying. `shell`: what runs is a script, to which nothing can be added from outside.
 */
export interface Standalone {
  readonly container: Container;
  readonly shell: boolean;
}

const SHELL = /(?:^|\/)(?:ba|da|a|z)?sh$/;

export function standalone(engine: EngineName, container: Container): Standalone {
  const words = [...(container.command ?? []), ...(container.args ?? [])];
  const shell = words.some((word) => SHELL.test(word)) && words.includes('-c');
  // MongoDB must stay the member that it was: outside of its set no position can be compared.
  if (engine === 'mongodb') return { container, shell };
  if (shell) return { container: withoutMaster(container), shell };
  return engine === 'postgres' ? postgres(container) : redis(container);
}

/** An archive command would write into production's archive; a standby would ask its primary. */
const POSTGRES = ['-c', 'archive_mode=off', '-c', 'primary_conninfo='];
/** Images whose entrypoint passes arguments on to the server. */
const OFFICIAL_POSTGRES = /(?:^|\/)(?:postgres|postgis|pgvector|timescaledb)(?:[:@]|$)/;

function postgres(container: Container): Standalone {
  const { command = [], args = [], image = '' } = container;
  const first = command.at(-1) ?? args[0] ?? '';
  const serves =
    /(?:^|\/)postgres$/.test(first) || command.some((one) => /(?:^|\/)postgres$/.test(one));
  if (!serves && !(command.length === 0 && OFFICIAL_POSTGRES.test(image))) {
    return { container, shell: false };
  }
  const given = args.length > 0 || command.length > 0 ? args : ['postgres'];
  return { container: { ...container, args: [...given, ...POSTGRES] }, shell: false };
}

const OFFICIAL_REDIS = /(?:^|\/)(?:redis|valkey)(?:[:@]|$)/;
const SERVER = /(?:^|\/)(?:redis|valkey)-server$/;

function redis(given: Container): Standalone {
  const container = withoutMaster(given);
  const { command = [], args = [], image = '' } = container;
  const serves = [...command, ...args].some((one) => SERVER.test(one));
  if (!serves && !(command.length === 0 && OFFICIAL_REDIS.test(image))) {
    return { container, shell: false };
  }
  // A file or a flag may come first; what comes last counts.
  const server = /valkey/.test(image) ? 'valkey-server' : 'redis-server';
  const first = args.length > 0 || command.length > 0 ? args : [server];
  // With its nodes.conf it would greet the members of production's cluster under the name of one of them.
  const alone = ['--cluster-enabled', 'no'];
  return { container: { ...container, args: [...first, ...alone] }, shell: false };
}

/** `--replicaof HOST PORT` as words of their own. */
function withoutMaster(container: Container): Container {
  const cut = (words: readonly string[] | undefined): readonly string[] | undefined => {
    const index = words?.findIndex((one) => /^--(?:replicaof|slaveof)$/.test(one)) ?? -1;
    return index < 0 ? words : words?.toSpliced(index, 3);
  };
  const [command, args] = [cut(container.command), cut(container.args)];
  return {
    ...container,
    ...(command !== undefined && { command }),
    ...(args !== undefined && { args }),
  };
}
