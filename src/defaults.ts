/** Defaults and bounds that several places share. It imports nothing. */

/** `sun_path` on Linux holds 108 bytes with the final zero. */
export const LONGEST_SOCKET_PATH = 107;
