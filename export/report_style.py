"""The style of `report.html`: light or dark as the reader's system is, one column on a phone."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #60646c; --line: #e0e1e6; --page: #fcfcfd;
  --card: #fff; --a: #8b8d98; --b: #3e63dd; --c: #ab4aba; --ok: #18794e; --warn: #ab6400; --bad: #ce2c31; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #edeef0; --soft: #b0b4ba; --line: #2e3135; --page: #111113; --card: #18191b;
    --a: #b0b4ba; --b: #849dff; --c: #d19dff; --ok: #3dd68c; --warn: #ffca16; --bad: #ff9592; } }
* { box-sizing: border-box; }
body { background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; margin: 0 auto;
  max-width: 64rem; padding: 1.5rem 1rem 4rem; overflow-wrap: break-word; }
h1 { margin: 0; font-size: 1.7rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 2.4rem 0 .6rem; font-size: 1.15rem; }
li, p { overflow-wrap: anywhere; }
.soft { color: var(--soft); font-size: .85rem; line-height: 1.45; margin: .4rem 0 0; }
.tiles { display: grid; gap: .75rem; margin: 1.2rem 0 1rem;
  grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); }
.tile, figure { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: .8rem 1rem; }
.tile b { display: block; font-size: 1.4rem; line-height: 1.25; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
.tile span { color: var(--soft); font-size: .85rem; display: block; line-height: 1.35; }
.pictures { columns: 22rem 2; column-gap: 1rem; }
figure { margin: 0 0 1rem; break-inside: avoid; }
figcaption { font-weight: 600; margin-bottom: .4rem; }
svg { display: block; width: 100%; max-width: 30rem; height: auto; margin: 0 auto; }
svg text { fill: var(--ink); font: 14px system-ui, sans-serif; }
svg .tick, svg .name { fill: var(--soft); font-size: 13px; }
.end { text-anchor: end; } .mid { text-anchor: middle; }
.grid { stroke: var(--line); fill: none; } .zero { stroke: var(--soft); fill: none; }
.limit { stroke: var(--bad); stroke-dasharray: 4 3; fill: none; }
.a { --tone: var(--a); } .b { --tone: var(--b); } .c { --tone: var(--c); }
.trace { stroke: var(--tone); stroke-width: 2; fill: none; } .dot, .bar { fill: var(--tone); }
.band { fill: var(--tone); opacity: .18; } .point { fill: var(--tone); opacity: .45; }
.box { fill: var(--page); stroke: var(--tone); stroke-width: 2; }
.key { background: var(--tone); border-radius: 3px; display: inline-block; height: .7em; width: .7em;
  margin: 0 .35em 0 .6em; } .key:first-child { margin-left: 0; }
.pass { color: var(--ok); } .inconclusive, .warning { color: var(--warn); } .fail { color: var(--bad); }
.span { stroke: currentColor; stroke-width: 2.5; fill: none; stroke-linecap: round; }
.mark { fill: currentColor; }
table { border-collapse: collapse; width: 100%; font-size: .93rem; }
th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
details { margin: .2rem 0; } summary { cursor: pointer; } .scroll { overflow-x: auto; }
@media (max-width: 40rem) {
  .tiles { grid-template-columns: 1fr 1fr; } .tile { padding: .6rem .7rem; } .tile b { font-size: 1.25rem; }
  figure { padding: .7rem .6rem; }
  .gates > .scroll > table > tbody > tr { display: flex; flex-wrap: wrap; padding: .4rem 0;
    border-bottom: 1px solid var(--line); }
  .gates > .scroll > table > tbody > tr > * { border: 0; padding: 0 .8rem 0 0; }
  .gates > .scroll > table > tbody > tr > td:first-child { font-weight: 600; }
  .gates > .scroll > table > tbody > tr > td:last-child { flex: 1 0 100%; }
  .gates > .scroll > table > tbody > tr:first-child { display: none; }
}
"""
