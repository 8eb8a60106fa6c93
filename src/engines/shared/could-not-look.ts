/**
 * Errors that end a deep check and say nothing about the data. A connection that breaks during the check
 * is not among them: the server may have ended because of the damage that it read.
 */
export const COULD_NOT_LOOK: ReadonlySet<string> = new Set([
  'ENGINE_PRIVILEGE',
  'ENGINE_AUTH',
  'ENGINE_BUSY',
  'ENGINE_RESOURCES',
  'ENGINE_LOCKED',
]);
