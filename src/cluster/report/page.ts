import { html, Html } from './escape.ts';
import { STYLE } from './style.ts';

export interface Page {
  readonly title: string;
  /** A class of the style: the colour of the verdict. */
  readonly verdict: 'proven' | 'unproven' | 'failed' | 'running';
  /** Further rules: the colours of this report's phases. */
  readonly style: string;
  readonly body: readonly (Html | undefined)[];
}

/** A report as one file: no script, and nothing is loaded from anywhere. */
export function pageOf({ title, verdict, style, body }: Page): string {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta
          http-equiv="Content-Security-Policy"
          content="default-src 'none'; style-src 'unsafe-inline'"
        />
        <title>${title}</title>
        <style>
          ${new Html(STYLE)}${new Html(style)}
        </style>
      </head>
      <body class="${verdict}">
        ${body.filter((part) => part !== undefined)}
      </body>
    </html> `.text;
}

/** Names and values in a row; those without a value are left out. */
export function factList(all: readonly (readonly [string, string | undefined])[]): Html {
  const shown = all.filter(([, value]) => value !== undefined && value !== '');
  return html`<dl>
    ${shown.map(
      ([name, value]) =>
        html`<div>
          <dt>${name}</dt>
          <dd>${value}</dd>
        </div>`,
    )}
  </dl>`;
}

/** One value of a table row under its heading. */
export interface Cell {
  readonly text: string;
  readonly number?: boolean;
}

/** A table. On a phone each row is a list, whose entries show their headings. */
export function tableOf(heads: readonly Cell[], rows: readonly (readonly string[])[]): Html {
  const kind = (index: number): string => (heads[index]?.number === true ? 'number' : 'text');
  return html`<table>
    <thead>
      <tr>
        ${heads.map(({ text }, index) => html`<th class="${kind(index)}" scope="col">${text}</th>`)}
      </tr>
    </thead>
    <tbody>
      ${rows.map(
        (row) =>
          html`<tr>
            ${row.map(
              (text, index) =>
                html`<td class="${kind(index)}" data-label="${heads[index]?.text}">${text}</td>`,
            )}
          </tr> `,
      )}
    </tbody>
  </table>`;
}
