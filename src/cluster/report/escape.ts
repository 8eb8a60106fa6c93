const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** HTML that has been escaped, or was written in this program. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

type Part = string | number | Html | undefined | readonly Html[];

/** Builds HTML. Every value is escaped but for what is {@link Html} itself. */
export function html(strings: TemplateStringsArray, ...values: readonly Part[]): Html {
  const parts = strings.flatMap((text, index) => [
    text,
    index < values.length ? shown(values[index]) : '',
  ]);
  return new Html(parts.join(''));
}

function shown(value: Part): string {
  if (value === undefined) return '';
  if (value instanceof Html) return value.text;
  if (typeof value === 'object') return value.map(({ text }) => text).join('');
  // Control characters are not legal in a document, and bidirectional ones reorder what is read.
  return String(value)
    .replaceAll(/[^\P{C}\n\t]/gu, '\uFFFD')
    .replaceAll(/[&<>"']/g, (one) => ENTITIES[one] ?? '');
}
