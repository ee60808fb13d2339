/** The style of the page. */
export const PAGE_STYLE = `
:root {
  --back: #f6f7f8; --card: #fff; --line: #e1e4e8; --text: #1c2128; --dim: #5c6670; --mark: #0f766e;
  --good: #15803d; --warn: #a15c00; --bad: #c81e1e; --fill: #0f766e1f; --hover: #eef1f3;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #101417; --card: #181d21; --line: #2b3238; --text: #e4e8eb; --dim: #98a3ad; --mark: #4fd1c0;
    --good: #57c878; --warn: #e5a93c; --bad: #ff7b72; --fill: #4fd1c02b; --hover: #20262b;
  }
}
* { box-sizing: border-box }
[hidden] { display: none !important }
body { margin: 0; background: var(--back); color: var(--text); font: 14px/1.45 system-ui, sans-serif }
a { color: var(--mark); text-decoration: none }
a:hover { text-decoration: underline }
:focus-visible { outline: 2px solid var(--mark); outline-offset: 2px; border-radius: 4px }
main:focus { outline: none }
header {
  display: flex; flex-wrap: wrap; align-items: center; gap: 8px 20px; padding: 10px 20px;
  background: var(--card); border-bottom: 1px solid var(--line)
}
#place { display: flex; align-items: center; gap: 8px; min-width: 0 }
#brand { color: var(--text); font-weight: 650; font-size: 16px }
#place > bdi { color: var(--dim); overflow: hidden; text-overflow: ellipsis }
.pill { padding: 1px 9px; border-radius: 99px; border: 1px solid var(--line); font-size: 12px; color: var(--dim) }
.pill.production { background: #c81e1e; border-color: #c81e1e; color: #fff; font-weight: 600 }
#search { position: relative; flex: 1 1 200px; max-width: 420px; margin-left: auto }
#search input { width: 100%; padding-right: 34px }
#search kbd { position: absolute; right: 8px; top: 6px }
kbd {
  padding: 0 6px; border: 1px solid var(--line); border-radius: 4px; color: var(--dim);
  font: 12px/18px ui-monospace, monospace
}
#search input:focus + kbd { display: none }
nav { display: flex; gap: 2px }
nav a { padding: 5px 10px; border-radius: 6px; color: var(--text) }
nav a:hover { background: var(--hover); text-decoration: none }
nav a[aria-current] { background: var(--fill); color: var(--mark); font-weight: 600 }
.badge {
  display: inline-block; margin-left: 6px; padding: 0 6px; border-radius: 99px; background: var(--bad);
  color: var(--card); font: 600 11px/17px system-ui
}
#banner { margin: 0; padding: 10px 20px; background: #c81e1e; color: #fff; overflow-wrap: anywhere }
main { max-width: 1240px; margin: 0 auto; padding: 18px 20px 48px }
h1 { margin: 0 0 4px; font-size: 20px; overflow-wrap: anywhere }
h2 { margin: 26px 0 8px; font-size: 15px }
p { margin: 6px 0; overflow-wrap: anywhere }
.dim { color: var(--dim) }
.bad { color: var(--bad) }
.warn { color: var(--warn) }
.good { color: var(--good) }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); gap: 10px; margin-bottom: 16px }
.tile, .card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 10px 14px }
.tile { position: relative; min-width: 0; overflow: hidden }
.tile b { display: block; font-size: 22px; font-weight: 600; font-variant-numeric: tabular-nums; line-height: 1.3 }
.tile span { color: var(--dim); font-size: 12px }
.tile svg { position: absolute; right: 8px; bottom: 8px; width: 72px; height: 26px }
.scroll { background: var(--card); border: 1px solid var(--line); border-radius: 8px; overflow-x: auto }
table { border-collapse: collapse; width: 100% }
th, td { padding: 6px 12px; text-align: left; border-bottom: 1px solid var(--line); vertical-align: middle }
tr:last-child > td { border-bottom: 0 }
tbody tr:hover { background: var(--hover) }
th { font-size: 12px; font-weight: 600; color: var(--dim); white-space: nowrap }
th a { color: inherit }
.num { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
td.name { max-width: 330px }
.nowrap { white-space: nowrap }
td bdi, td code { overflow-wrap: anywhere }
td.name small { display: block; overflow: hidden; text-overflow: ellipsis; white-space: nowrap }
small { color: var(--dim); font-size: 12px }
code { font: 12.5px/1.4 ui-monospace, monospace; overflow-wrap: anywhere }
.state { white-space: nowrap }
.state::before {
  content: ""; display: inline-block; width: 8px; height: 8px; margin-right: 7px; border-radius: 50%;
  background: var(--good)
}
.state.h1::before { background: var(--warn) }
.state.h2::before, .state.h3::before { background: var(--bad) }
.state.h2, .state.h3 { color: var(--bad); font-weight: 600 }
.x { margin-left: 6px; color: var(--bad); font-weight: 700; text-decoration: none; cursor: help }
svg.spark { width: 80px; height: 20px; vertical-align: middle }
.spark polyline { fill: none; stroke: var(--mark); stroke-width: 1.5; vector-effect: non-scaling-stroke }
.spark polygon { fill: var(--fill) }
.bar { display: flex; flex-wrap: wrap; align-items: center; gap: 8px; margin: 10px 0 }
.bar.end { justify-content: flex-end }
button, .button {
  padding: 5px 12px; border: 1px solid var(--line); border-radius: 6px; background: var(--card); color: var(--text);
  font: inherit; cursor: pointer; display: inline-block
}
button:hover, .button:hover { background: var(--hover); text-decoration: none }
button:disabled { opacity: .5; cursor: default }
.primary { background: var(--mark); border-color: var(--mark); color: var(--card); font-weight: 600 }
.danger { color: var(--bad) }
.danger.primary { background: #c81e1e; border-color: #c81e1e; color: #fff }
.primary:hover { background: var(--mark); filter: brightness(1.1) }
.danger.primary:hover { background: #c81e1e }
input, select, textarea {
  padding: 5px 9px; border: 1px solid var(--line); border-radius: 6px; background: var(--back); color: var(--text);
  font: inherit; min-width: 0
}
input[type=checkbox], input[type=radio] { accent-color: var(--mark) }
textarea { width: 100%; min-height: 110px; font: 13px/1.5 ui-monospace, monospace; resize: vertical }
label { display: block; margin: 10px 0 }
label > :is(input:not([type=checkbox]), select) { width: 100% }
label > span { display: block; margin-bottom: 3px; color: var(--dim); font-size: 12px }
label.line { display: flex; align-items: center; gap: 8px }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 8px 16px; margin: 0 }
.facts div { min-width: 0 }
.facts dt { color: var(--dim); font-size: 12px }
.facts dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums }
.card { margin-bottom: 10px; overflow-wrap: anywhere }
.card.error { border-left: 4px solid var(--bad) }
.card.warning { border-left: 4px solid var(--warn) }
.card h3 { margin: 0 0 4px; font-size: 14px }
form.narrow { max-width: 560px }
dialog {
  width: min(460px, calc(100vw - 32px)); padding: 18px 20px; border: 1px solid var(--line); border-radius: 10px;
  background: var(--card); color: var(--text)
}
dialog::backdrop { background: #0008 }
dialog h2 { margin: 0 0 6px; overflow-wrap: anywhere }
@media (max-width: 1080px) { .wider { display: none } }
@media (max-width: 720px) {
  header { padding: 10px 12px; gap: 8px }
  main { padding: 12px 12px 40px }
  #place { flex: 1 1 auto }
  #search { order: 3; flex-basis: 100%; max-width: none; margin: 0 }
  nav { order: 4; width: 100%; justify-content: space-between }
  nav a { padding: 5px 8px }
  .wide { display: none }
  th, td { padding: 7px 9px }
  td.name { max-width: 48vw }
  .tiles { grid-template-columns: repeat(2, 1fr) }
  .tile b { font-size: 19px }
}
@media (prefers-reduced-motion: no-preference) { a, button { transition: background .12s } }
`
