import type { OwnFiles } from '../../engine.ts';

/** The AOF with its manifest, RDB files, and what a save or a rewrite is still writing. */
const DATA = /\.(?:aof|rdb|manifest)$|^temp-(?:rewriteaof-|[\d.]+)/;

/** What Redis or a freeze syncs. Files of other names are few and small: configuration, ACL, `nodes.conf`. */
export const ownFiles: OwnFiles = ({ name }) => Promise.resolve(DATA.test(name));
