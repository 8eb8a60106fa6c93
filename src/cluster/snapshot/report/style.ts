/** The style of a report: light and dark, and on paper. */
export const STYLE = `
:root { color-scheme: light dark; --bg: #fff; --ink: #1c2430; --dim: #5b6675; --line: #dfe4ea; --good: #18794e;
  --fair: #8a5a00; --bad: #b3261e; --held: #2f6fde; --soft: #b7cdf3; --thaw: #cfd6de; }
@media (prefers-color-scheme: dark) {
  :root { --bg: #12171e; --ink: #e6eaf0; --dim: #9aa6b5; --line: #2b3440; --good: #4cc38a; --fair: #e5b454;
    --bad: #ff8f86; --held: #6ea1ff; --soft: #2d4a80; --thaw: #465160; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem; max-width: 64rem; background: var(--bg); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { margin: 0 0 .5rem; font-size: 1.5rem; overflow-wrap: anywhere; }
h2 { margin: 2rem 0 .5rem; font-size: 1.1rem; }
p { margin: .25rem 0; }
header { border-left: .35rem solid var(--verdict); padding-left: 1rem; }
.proven { --verdict: var(--good); } .unproven { --verdict: var(--fair); } .failed { --verdict: var(--bad); }
.verdict { color: var(--verdict); font-weight: 700; text-transform: uppercase; letter-spacing: .08em; }
dl { display: flex; flex-wrap: wrap; gap: .5rem 2rem; margin: 1.25rem 0 0; }
dt { color: var(--dim); font-size: .8rem; } dd { margin: 0; font-variant-numeric: tabular-nums; }
.chart, .wide { overflow-x: auto; }
svg { display: block; width: 100%; min-width: 44rem; height: auto; font: 13px system-ui, sans-serif; }
svg text { fill: var(--ink); } svg .axis { fill: var(--dim); font-size: 12px; }
.tick { stroke: var(--line); }
rect.freezing { fill: var(--soft); } rect.held { fill: var(--held); } rect.thawing { fill: var(--thaw); }
path.cut { fill: var(--ink); stroke: var(--bg); stroke-width: 1.5; }
.key { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; color: var(--dim); font-size: .85rem; }
.key i { display: inline-block; width: .9rem; height: .7rem; margin-right: .35rem; }
i.freezing { background: var(--soft); } i.held { background: var(--held); } i.thawing { background: var(--thaw); }
ul { padding-left: 1.1rem; } li { margin: .5rem 0; }
pre { margin: .35rem 0 0; padding: .5rem .75rem; border: 1px solid var(--line); white-space: pre-wrap;
  overflow-wrap: anywhere; font: .85rem/1.45 ui-monospace, monospace; }
table { width: 100%; border-collapse: collapse; font-size: .88rem; }
th, td { padding: .35rem .6rem .35rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top;
  overflow-wrap: anywhere; }
th { color: var(--dim); font-weight: 600; white-space: nowrap; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
footer { margin-top: 2rem; color: var(--dim); font-size: .85rem; overflow-wrap: anywhere; }
@media print { body { padding: 0; max-width: none; font-size: 11px; print-color-adjust: exact;
  -webkit-print-color-adjust: exact; } svg { min-width: 0; } tr, g, li { break-inside: avoid; } }
`;
