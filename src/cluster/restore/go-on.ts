/** How a run that stopped goes on, or ends. */
export function goOn(run: string): string {
  return `Go on: quiesce restore --resume ${run}. Or let everything start at once: quiesce restore --release ${run}.`;
}
