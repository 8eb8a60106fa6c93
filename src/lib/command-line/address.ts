import { BadValue, value } from './flags.ts';

/** An address to listen on. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** A flag that takes an address to listen on. */
export function address<const F extends string>(about: string, fallback: F) {
  return value('HOST:PORT', about, { fallback }, (given): ListenAddress => {
    const match = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})$/.exec(given);
    const port = Number(match?.[2]);
    if (match?.[1] === undefined || !(port <= 65_535)) throw new BadValue('must be host:port');
    return { host: match[1].replace(/^\[|\]$/g, ''), port };
  });
}
