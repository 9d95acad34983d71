"""How a report looks: on screens light and dark, narrow and wide, and on paper."""

STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --card: #f3f4f6; --soft: #555; --bar: #3465a4;
  --warn: #8a3b00; --edge: #ccc; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #eaeaea; --paper: #16181c; --card: #23262c; --soft: #b5b5b5; --bar: #7aa7e0; --warn: #ffb070;
    --edge: #444; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem 1.5rem 3rem; max-width: 90rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.45 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; margin: 0.5rem 0; }
h2 { font-size: 1.25rem; margin: 2rem 0 0.5rem; }
h3 { font-size: 0.95rem; margin: 0 0 0.4rem; }
header p { margin: 0.2rem 0; }
.n { color: var(--soft); font-weight: normal; }
.failures li, .reason { color: var(--warn); }
.remark { color: var(--soft); }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 0.8rem; }
article { background: var(--card); border-radius: 0.4rem; padding: 0.7rem; font-size: 0.85rem;
  content-visibility: auto; contain-intrinsic-size: auto 22rem; }
article p { margin: 0.3rem 0 0; }
.picture { position: relative; line-height: 0; background: #000; }
.picture img { display: block; width: 100%; height: auto; }
.picture .lines { position: absolute; inset: 0; height: 100%; }
body:has(#outlines:not(:checked)) .lines { visibility: hidden; }
#outlines { margin-top: 1.5rem; }
svg { display: block; width: 100%; }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink); }
.large { max-width: 45rem; }
.small { height: 1.7rem; margin-top: 0.4rem; }
.bars { fill: var(--bar); }
.axis { stroke: var(--soft); fill: none; }
details { margin-top: 2rem; overflow-x: auto; }
summary { cursor: pointer; }
table { border-collapse: collapse; font-size: 0.85rem; margin-top: 0.6rem; }
th, td { border-bottom: 1px solid var(--edge); padding: 0.2rem 0.8rem 0.2rem 0; text-align: left;
  vertical-align: top; font-weight: normal; }
thead th { font-weight: bold; }
pre { background: var(--card); padding: 0.7rem; border-radius: 0.4rem; white-space: pre-wrap; }
@media print {
  :root { --ink: #000; --paper: #fff; --card: #fff; --soft: #444; --bar: #3465a4; --warn: #8a3b00; --edge: #ccc; }
  body { max-width: none; padding: 0; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  article { break-inside: avoid; border: 1px solid var(--edge); content-visibility: visible; }
  .cards { grid-template-columns: repeat(4, 1fr); }
  h2 { break-after: avoid; }
  svg, tr { break-inside: avoid; }
  #outlines, label { display: none; }
}
"""
