// What follows from the list of parts: the import rules, and the table for docs/ARCHITECTURE.md.

import { GROUND, PARTS } from './architecture.mjs';

/** The part that a file belongs to: the one with the longest matching place. */
export function partOf(file, parts = PARTS) {
  let found;
  for (const part of parts) {
    for (const place of part.at) {
      const matches = place.endsWith('/') ? file.startsWith(place) : file === place;
      if (matches && place.length > (found?.length ?? 0)) found = { part, length: place.length };
    }
  }
  return found?.part;
}

/** Two rules for each part: what it must not import, and of what it may import only types. */
export function importRules(parts = PARTS) {
  return parts.flatMap((part) => {
    const name = part.at.find((place) => place.endsWith('/')) ?? part.at[0];
    const from = { path: part.at.map((place) => own(place, parts)) };
    const may = [...from.path, ...[...(part.bare ? [] : GROUND), ...(part.may ?? [])].map(pattern)];
    const types = (part.types ?? []).map(pattern);
    const severity = 'error';
    const comment = 'scripts/architecture.mjs lists what each part may import.';
    return [
      {
        name: `${name} imports too much`,
        comment,
        severity,
        from,
        to: { path: '^src/', pathNot: [...may, ...types] },
      },
      {
        name: `${name} imports more than types`,
        comment,
        severity,
        from,
        to: { path: types, pathNot: may, dependencyTypesNot: ['type-only'] },
      },
    ].filter(({ to }) => to.path.length > 0);
  });
}

/** The pattern that matches the paths of a place. */
function pattern(place) {
  const escaped = place.replaceAll('.', '\\.');
  return place.endsWith('/') ? `^${escaped}` : `^${escaped}$`;
}

/** The same pattern, without the subfolders and files that belong to other parts. */
function own(place, parts) {
  if (!place.endsWith('/')) return pattern(place);
  const others = parts
    .flatMap(({ at }) => at)
    .filter((other) => other !== place && other.startsWith(place))
    .map((other) => pattern(other.slice(place.length)).slice(1));
  return others.length === 0 ? pattern(place) : `${pattern(place)}(?!${others.join('|')})`;
}

/** The table for docs/ARCHITECTURE.md. */
export function partsTable(parts = PARTS) {
  const rows = parts.map((part) => {
    const may = [
      ...(part.bare || part.at === GROUND ? [] : ['the ground floor']),
      ...(part.bare ? ['`node:`'] : []),
      ...(part.may ?? []).map(short),
      ...(part.types ?? []).map((place) => `${short(place)} (types)`),
    ];
    return `| ${part.at.map((place) => `\`${place}\``).join(', ')} | ${part.what} | ${may.join(', ') || 'each other'} |`;
  });
  return ['| part | what it is | may import |', '| --- | --- | --- |', ...rows].join('\n');
}

function short(place) {
  return `\`${place.replace(/^src\//, '')}\``;
}
