import { QuiesceError } from '../errors.ts';

/** The refusal of a request that no route takes. */
export interface NoRoute {
  readonly error: QuiesceError;
  /** The header `Allow`, where the path exists. */
  readonly allow?: string;
}

/** Which path takes which methods: 405 with `Allow` for a known path, 404 elsewhere. */
export class RouteTable {
  readonly #routes: { readonly pattern: RegExp; readonly method: string }[] = [];

  /** @param url as routes write it, with `:name` for a part that varies */
  add(method: string, url: string): void {
    const pattern = new RegExp(`^${url.replaceAll('.', '\\.').replaceAll(/:\w+/g, '[^/]+')}$`);
    this.#routes.push({ pattern, method });
  }

  refuse(method: string, target: string): NoRoute {
    const path = target.split(/[?#]/, 1)[0] ?? '/';
    // `*` stands for the server itself, which takes what any of its routes does.
    const found = this.#routes.filter(({ pattern }) => target === '*' || pattern.test(path));
    const methods = [...new Set(found.map((route) => route.method))];
    if (methods.length === 0 || methods.includes(method)) {
      return { error: new QuiesceError('NOT_FOUND', 'There is no such route.') };
    }
    const allow = methods.join(', ');
    const what = target === '*' ? 'This server' : 'This route';
    return {
      allow,
      error: new QuiesceError('METHOD_NOT_ALLOWED', `${what} takes ${allow} only.`),
    };
  }
}
