import { html, type Html } from './escape.ts';

export interface ReportedProblem {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  /** Whose problem it is; absent: that of the run as a whole. */
  readonly of?: string | undefined;
}

/** The problems of a page under their heading; nothing where there are none. */
export function problemList(heading: string, all: readonly ReportedProblem[]): Html | undefined {
  if (all.length === 0) return undefined;
  const items = all.map(
    ({ code, message, hint, of }) =>
      html`<li>
        <strong>${code}</strong
        >${of === undefined ? undefined : html` ${of}`}<br />${message}${hint === undefined ? undefined : html`<pre>${hint}</pre>`}
      </li> `,
  );
  return html`<h2>${heading}</h2>
    <ul>
      ${items}
    </ul>`;
}
