const CENSORED = '[redacted]';

/** Parts of a name that say that its value is a secret. `primaryKey` and `publicKey` are none. */
const SECRET_WORDS =
  'pass(?:word|wd|phrase|code)?|pwd|secret|token|credentials?|api[-_.]?key|access[-_.]?key|private[-_.]?key|' +
  'encryption[-_.]?key|signing[-_.]?key|master[-_.]?key|secret[-_.]?key|client[-_.]?key|account[-_.]?key|' +
  'auth[-_.]?key|shared[-_.]?key|requirepass|masterauth|erlang[-_.]?cookie|session[-_.]?key|' +
  'conn(?:ection)?[-_.]?str(?:ing)?|authorization|cookie|jwt|keytab|license[-_.]?key|webhook[-_.]?url';
/** Names end here or go on with another word: `PGPASSWORD`, `db.password.file`, `passwordHash`. */
const SECRET_NAME = new RegExp(`(?:^|[^a-z]|[a-z])(?:${SECRET_WORDS})s?(?:$|[^a-z])`, 'i');
const SECRET_ENDING = new RegExp(`(?:${SECRET_WORDS})s?\\d*$`, 'i');
/** Words that end in one of them by chance. */
const HARMLESS = /^(?:compass|bypass|trespass)$/i;

/** Whether the value of a variable, key or field of this name is probably a secret. */
export function namesSecret(name: string): boolean {
  if (HARMLESS.test(name)) return false;
  const spaced = name.replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2');
  return SECRET_ENDING.test(name) || SECRET_NAME.test(`${spaced}_`);
}

/** `name=value`, `name: value`, `"name": "value"`, `--name value`; a quoted value goes to its end. */
const PAIR = new RegExp(
  `(["']?(?:[\\w.-]*[-_.])?(?:[a-z0-9]*)(?:${SECRET_WORDS})s?(?:[-_.]?(?:base64|hash|value))?\\\\?["']?\\s*(?:=>|=|:)\\s*)` +
    `(\\\\?"(?:[^"\\\\]|\\\\.)*\\\\?"|'(?:[^'\\\\]|\\\\.)*'|(?:bearer|basic)\\s+\\S+|[^\\s"',;&)}\\]]+)`,
  'gi',
);
const FLAG = new RegExp(
  `(--?(?:[\\w]+[-_.])*(?:${SECRET_WORDS})s?\\s+)("[^"]*"|'[^']*'|[^\\s-]\\S*)`,
  'gi',
);

/**
 * Takes secrets out of a text by their shape: credentials in URLs, values beside names such as password or
 * token, bearer and basic tokens, private keys, JSON Web Tokens, and what databases store of passwords.
 */
export function redact(text: string): string {
  return text
    .replaceAll(
      /-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|$)/g,
      CENSORED,
    )
    .replaceAll(/([a-z][a-z0-9+.-]*:\/\/)[^\s/"'\\<>]*:[^\s"'\\<>]*@/gi, `$1${CENSORED}@`)
    .replaceAll(/([a-z][a-z0-9+.-]*:\/\/)[^\s/@"'\\<>]+@/gi, `$1${CENSORED}@`)
    .replaceAll(/\b((?:requirepass|masterauth)\s+)[^\s"']+/gi, `$1${CENSORED}`)
    .replaceAll(/\beyJ[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]*)?/g, CENSORED)
    .replaceAll(/SCRAM-SHA-\d+\$[^\s"']+/g, CENSORED)
    .replaceAll(/\bmd5[0-9a-f]{32}\b/g, CENSORED)
    .replaceAll(/\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g, CENSORED)
    .replaceAll(/\b(?:gh[pousr]_|glpat-|xox[abprs]-|sk-)[\w-]{10,}/g, CENSORED)
    .replaceAll(/\$2[abxy]\$\d\d\$[./\w]{20,}/g, CENSORED)
    .replaceAll(PAIR, (_all, name: string) => `${name}${CENSORED}`)
    .replaceAll(FLAG, (_all, name: string) => `${name}${CENSORED}`)
    .replaceAll(/\b((?:bearer|basic)\s+)(?=\S{8,})[\w.~+/=-]+/gi, `$1${CENSORED}`)
    .replaceAll(
      /\b((?:identified\s+(?:with\s+\S+\s+)?by|password|with\s+password)\s+)('[^']*'|"[^"]*")/gi,
      `$1${CENSORED}`,
    );
}

/** One line for people, of bounded length, without secrets. */
export function redactLine(text: string, longest = 300): string {
  const line = redact(text)
    // eslint-disable-next-line no-control-regex
    .replaceAll(/\u001B\[[\d;]*[A-Za-z]/g, '')
    .replaceAll(/[\u0000-\u001F\u007F-\u009F]+/g, ' ')
    .trim();
  return line.length <= longest ? line : `${line.slice(0, longest - 1)}…`;
}
