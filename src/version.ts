/** The version of quiesce; the build refuses to run where package.json says another. */
export const VERSION = '0.1.0';
