/** The style of all reports: light and dark, on a phone, and on paper. */
export const STYLE = `
:root { color-scheme: light dark; --bg: #fff; --ink: #1c2430; --dim: #5b6675; --line: #dfe4ea; --good: #18794e;
  --fair: #8a5a00; --bad: #b3261e; --strong: #2f6fde; --soft: #b7cdf3; --grey: #cfd6de; }
@media (prefers-color-scheme: dark) {
  :root { --bg: #12171e; --ink: #e6eaf0; --dim: #9aa6b5; --line: #2b3440; --good: #4cc38a; --fair: #e5b454;
    --bad: #ff8f86; --strong: #6ea1ff; --soft: #2d4a80; --grey: #465160; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem; max-width: 64rem; background: var(--bg); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { margin: 0 0 .5rem; font-size: 1.5rem; }
h2 { margin: 2rem 0 .5rem; font-size: 1.1rem; }
p { margin: .25rem 0; }
header { border-left: .35rem solid var(--verdict); padding-left: 1rem; }
.proven { --verdict: var(--good); } .unproven { --verdict: var(--fair); } .failed { --verdict: var(--bad); }
.running { --verdict: var(--strong); }
.verdict { color: var(--verdict); font-weight: 700; text-transform: uppercase; letter-spacing: .08em; }
dl { display: flex; flex-wrap: wrap; gap: .5rem 2rem; margin: 1.25rem 0 0; } dl div { min-width: 0; }
dt { color: var(--dim); font-size: .8rem; } dd { margin: 0; font-variant-numeric: tabular-nums; }
.big dd { font-size: 1.35rem; font-weight: 600; }
.axis { display: flex; justify-content: space-between; margin-left: 15.75rem; margin-right: 6.25rem;
  padding: .2rem 0; color: var(--dim); font-size: .75rem; border-bottom: 1px solid var(--line); }
.row { display: grid; grid-template-columns: 15rem 1fr 5.5rem; gap: 0 .75rem; align-items: center; padding: .2rem 0; }
.row .name { text-align: right; font-size: .88rem; } .row .count { text-align: right; font-size: .82rem;
  color: var(--dim); font-variant-numeric: tabular-nums; }
.row svg { display: block; width: 100%; height: .9rem; }
.layer { margin: .6rem 0 0; color: var(--dim); font-size: .82rem; font-weight: 600; }
path.mark { stroke: var(--ink); stroke-width: 3; fill: none; }
.key { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; color: var(--dim); font-size: .85rem; }
.key i { display: inline-block; width: .9rem; height: .7rem; margin-right: .35rem; }
.key i.mark { width: 3px; height: .9rem; background: var(--ink); vertical-align: -.1rem; }
ul { padding-left: 1.1rem; } li { margin: .5rem 0; }
pre { margin: .35rem 0 0; padding: .5rem .75rem; border: 1px solid var(--line); white-space: pre-wrap;
  font: .85rem/1.45 ui-monospace, monospace; }
table { width: 100%; border-collapse: collapse; font-size: .88rem; }
th, td { padding: .35rem .6rem .35rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { color: var(--dim); font-weight: 600; overflow-wrap: normal; }
.number { text-align: right; font-variant-numeric: tabular-nums; overflow-wrap: normal; white-space: nowrap; }
.bad { color: var(--bad); } .fair { color: var(--fair); } .good { color: var(--good); }
footer { margin-top: 2rem; color: var(--dim); font-size: .85rem; }
@media screen and (max-width: 44rem) {
  body { padding: 1rem .75rem; }
  .axis { margin: 0; } .row { grid-template-columns: 1fr auto; }
  .row .name { text-align: left; } .row svg { grid-row: 2; grid-column: 1 / -1; }
  thead { display: none; } table, tbody, tr, td { display: block; }
  tr { padding: .5rem 0; border-bottom: 1px solid var(--line); }
  td, td.number { display: grid; grid-template-columns: 8rem 1fr; gap: .5rem; padding: .1rem 0; border: 0;
    text-align: left; }
  td::before { content: attr(data-label); color: var(--dim); }
}
@media print { html { font-size: 11px; } body { padding: 0; max-width: none; font-size: 1rem; print-color-adjust: exact;
  -webkit-print-color-adjust: exact; } tr, .row, li { break-inside: avoid; } }
`;
