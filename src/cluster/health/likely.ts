/** What a known sentence in the last words of a container means. */
export interface Likely {
  readonly code: string;
  readonly cause: string;
  readonly hint: string;
  /** Whether what it says may end by itself, such as a dependency that is down. */
  readonly passing: boolean;
}

interface Known extends Likely {
  readonly words: RegExp;
}

/** The first that matches counts: what is named more exactly stands before what follows from it. */
const KNOWN: readonly Known[] = [
  {
    words:
      /password authentication failed|\bWRONGPASS\b|\bNOAUTH\b|Authentication failed|Access denied for user|SASL authentication failed|ACCESS_REFUSED|\bSCRAM\b.*(?:fail|mismatch)|invalid username-password pair|invalid username or password|Invalid credentials/i,
    code: 'LOGIN_REFUSED',
    cause: 'the password that it uses is not the one in the data',
    hint: 'A restored database has the passwords of the time of its backup. If a Secret was changed since, give it the old value, or set the present one in the database.',
    passing: false,
  },
  {
    words: /role "[^"]+" does not exist|database "[^"]+" does not exist|Unknown database/i,
    code: 'DATABASE_MISSING',
    cause: 'the role or the database that it names is not in the data',
    hint: 'The database came up empty, or is another one: compare its level and its receipt (quiesce status).',
    passing: false,
  },
  {
    words:
      /could not translate host name|ENOTFOUND|EAI_AGAIN|NXDOMAIN|no such host|Name or service not known|Temporary failure in name resolution|UnknownHostException|Name does not resolve|getaddrinfo (?:failed|error)/i,
    code: 'NAME_UNKNOWN',
    cause: 'nobody has the host name that it asks for',
    hint: 'Create the Service of that name, or correct the name; a headless Service answers only for ready pods.',
    passing: true,
  },
  {
    words:
      /No space left on device|\bENOSPC\b|\bdisk (?:is )?full|MISCONF Redis is configured to save|Disk quota exceeded/i,
    code: 'NO_SPACE',
    cause: 'its volume is full',
    hint: 'Enlarge the claim (kubectl edit pvc), or free space on the volume.',
    passing: false,
  },
  {
    words:
      /database files are incompatible with server|was initialized by PostgreSQL version|incompatible (?:data|version)|Can't handle RDB format version|featureCompatibilityVersion.*(?:invalid|unsupported|incompatible|mismatch)|IncompatibleServerVersion|Cannot downgrade|downgrade is not (?:supported|possible)/i,
    code: 'IMAGE_INCOMPATIBLE',
    cause: 'its image has another version than the one that wrote the data',
    hint: 'Use the image of the backup; its receipt and quiesce metadata name the version.',
    passing: false,
  },
  {
    words:
      /invalid (?:primary )?checkpoint|could not locate (?:a valid|required) checkpoint|could not locate required checkpoint record|bad magic|Bad file format reading the append only file|invalid magic number|WT_PANIC|wrong signature trying to load DB|Short read or OOM loading DB|checksum (?:error|mismatch|failed)|invalid page in block|PANIC: {2}could not/i,
    code: 'DATA_DAMAGED',
    cause: 'the data in its volume is damaged, or the copy is not whole',
    hint: 'Restore from another copy; quiesce snapshots and the receipts say which are proven.',
    passing: false,
  },
  {
    words:
      /permission denied|\bEACCES\b|\bEPERM\b|Operation not permitted|has wrong ownership|has invalid permissions|AccessDeniedException/i,
    code: 'PERMISSION_DENIED',
    cause: 'it may not read or write its files as the user that it runs as',
    hint: 'Set fsGroup and runAsUser to the owner of the data, as they were when it was backed up.',
    passing: false,
  },
  {
    words: /Read-only file system|\bEROFS\b/i,
    code: 'READ_ONLY',
    cause: 'it writes to a file system that is mounted read-only',
    hint: 'Mount a volume there, or look on the node for an error of the volume.',
    passing: false,
  },
  {
    words: /ECONNREFUSED|connection refused|Connection reset by peer|ECONNRESET/i,
    code: 'DEPENDENCY_DOWN',
    cause: 'what it connects to does not answer',
    hint: 'Look at that one first; name it in quiesce.dev/depends-on, so that it comes before.',
    passing: true,
  },
  {
    words:
      /ETIMEDOUT|i\/o timeout|connection timed out|Connection timeout|EHOSTUNREACH|ENETUNREACH|No route to host|Network is unreachable/i,
    code: 'DEPENDENCY_UNREACHABLE',
    cause: 'what it connects to cannot be reached',
    hint: 'Look at the NetworkPolicies between the two, and at that one itself.',
    passing: true,
  },
  {
    words:
      /the database system is starting up|LOADING Redis is loading|not yet accepting connections/i,
    code: 'DEPENDENCY_STARTING',
    cause: 'what it connects to is still starting',
    hint: 'Wait, or look at that one.',
    passing: true,
  },
  {
    words:
      /certificate (?:has expired|is not yet valid|verify failed|signed by unknown authority)|x509:|self[- ]signed certificate/i,
    code: 'CERTIFICATE_REFUSED',
    cause: 'a certificate is not accepted',
    hint: 'Compare the CA and the names in the certificate with those of the backup.',
    passing: false,
  },
  {
    words: /address already in use|EADDRINUSE/i,
    code: 'PORT_IN_USE',
    cause: 'another container of the pod, or of its node, has the port',
    hint: 'Give one of them another port.',
    passing: false,
  },
  {
    words: /exec format error/i,
    code: 'ARCHITECTURE_DIFFERS',
    cause: 'the image is built for another processor than that of the node',
    hint: 'Use an image for it, or a nodeSelector on kubernetes.io/arch.',
    passing: false,
  },
];

/** What these words of a container probably mean; the last line that says something known counts. */
export function likelyOf(lines: readonly string[]): Likely | undefined {
  for (const { words, ...likely } of KNOWN) {
    if (lines.some((line) => words.test(line))) return likely;
  }
  return undefined;
}
