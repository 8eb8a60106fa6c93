import type { QuiesceError } from '../errors.ts';
import type { MetadataDocument } from '../receipt/metadata-document.ts';
import type { Receipt } from '../receipt/receipt.ts';

/** Why a restored copy is not verified yet, and what to do, in sentences. */
export function notYet(
  error: QuiesceError,
  receipt: Receipt,
  metadata: MetadataDocument | null,
): string {
  if (error.code === 'ENGINE_AUTH') return `${refusedLogin(receipt)} ${error.message}`;
  if (error.code === 'ENGINE_UNREACHABLE') return `${error.message}${needs(receipt, metadata)}`;
  return error.message;
}

/** Passwords are data: a restored database has those of its backup, and nothing mends that but a person. */
function refusedLogin({ frozenAt, requestedAt }: Receipt): string {
  const at = frozenAt ?? requestedAt;
  return `The database refuses the login. A restored database has the passwords of the time of its backup (${at}): if the password was changed since, change it in the database to the present one, or give the sidecar the old one.`;
}

/** A server that does not come up cannot say why: what the copy needs of the image is known from its metadata. */
function needs({ engine }: Receipt, metadata: MetadataDocument | null): string {
  const parts = [
    `${engine.name} ${engine.version ?? ''}`.trim(),
    ...(metadata === null ? [] : [metadata.architecture, ...preloaded(metadata)]),
  ];
  return ` If the server does not start, compare its image with the one of the backup: ${parts.join(', ')}.`;
}

function preloaded({ metadata }: MetadataDocument): string[] {
  const libraries = metadata['libraries'] as { readonly preloaded?: unknown } | undefined;
  const names = Array.isArray(libraries?.preloaded) ? libraries.preloaded.map(String) : [];
  return names.length === 0 ? [] : [`with the libraries ${names.join(', ')}`];
}
