import { QuiesceError } from '../errors.ts';

/** The refusal of a request that no route accepts. */
export interface NoRoute {
  readonly error: QuiesceError;
  /** The `Allow` header, where the path exists. */
  readonly allow?: string;
}

/** Knows the methods of each path, and refuses others: 405 with `Allow` for a known path, 404 elsewhere. */
export class RouteTable {
  readonly #routes: { readonly pattern: RegExp; readonly method: string }[] = [];

  /** @param url as fastify writes it, with `:name` for a parameter */
  add(method: string, url: string): void {
    const pattern = new RegExp(`^${url.replaceAll('.', '\\.').replaceAll(/:\w+/g, '[^/]+')}$`);
    this.#routes.push({ pattern, method });
  }

  refuse(method: string, target: string): NoRoute {
    const path = target.split(/[?#]/, 1)[0] ?? '/';
    // `*` means the server itself, which accepts the methods of all of its routes.
    const found = this.#routes.filter(({ pattern }) => target === '*' || pattern.test(path));
    const methods = [...new Set(found.map((route) => route.method))];
    if (methods.length === 0 || methods.includes(method)) {
      return { error: new QuiesceError('NOT_FOUND', 'There is no such route.') };
    }
    const allow = methods.join(', ');
    const what = target === '*' ? 'This server' : 'This route';
    return {
      allow,
      error: new QuiesceError('METHOD_NOT_ALLOWED', `${what} accepts only ${allow}.`),
    };
  }
}
