/** Narrow screens get a card for each row: nine columns have no room there. */
export const PAGE_STYLE = `:root{color-scheme:light dark;--paper:#f6f7f9;--card:#fff;--ink:#16202e;--soft:#566275;--edge:#dde2ea;--good:#14743f;--bad:#b3261e;--bad-ground:#fbe3e1}
@media(prefers-color-scheme:dark){:root{--paper:#0f141c;--card:#18202b;--ink:#e6ebf3;--soft:#9aa7ba;--edge:#2b3645;--good:#6fd79f;--bad:#ff9a91;--bad-ground:#40160f}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1240px;margin:0 auto;padding:24px 20px 60px}
h1{font-size:24px;margin:0 0 2px}h2{font-size:18px;margin:36px 0 10px}
p{margin:6px 0;max-width:110ch}.soft,.unit{color:var(--soft)}
.banner{margin:16px 0;padding:12px 16px;background:var(--card);border:1px solid var(--edge);border-left:5px solid var(--good);border-radius:6px}
.banner.short{border-left-color:var(--bad)}.banner ul{margin:6px 0 0;padding-left:20px}
.met{color:var(--good);white-space:nowrap}.missed{color:var(--bad);font-weight:700;white-space:nowrap}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 18px;margin:12px 0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
code{font:13px ui-monospace,monospace}
.wide{overflow-x:auto;background:var(--card);border:1px solid var(--edge);border-radius:6px}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th,td{padding:7px 10px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--edge)}
tr:last-child>*{border-bottom:0}
thead th{color:var(--soft);font-weight:500;font-size:13px;vertical-align:bottom}.text,tbody th{text-align:left}th,.text{white-space:normal}
tbody th{font-weight:600}td strong{color:var(--bad);background:var(--bad-ground);padding:1px 6px;border-radius:4px}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,440px),1fr));gap:16px}
figure{margin:0;padding:14px 14px 10px;background:var(--card);border:1px solid var(--edge);border-radius:6px}
figcaption{font-weight:600;margin-bottom:6px}figure svg{display:block;width:100%;max-width:540px;height:auto;margin:0 auto}
@media(max-width:820px){main{padding:16px 12px 40px}dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:8px}
.wide{background:none;border:0;overflow:visible}table,tbody,tr{display:block}
thead{position:absolute;clip-path:inset(50%);width:1px;height:1px;overflow:hidden}
tr{background:var(--card);border:1px solid var(--edge);border-radius:6px;margin-bottom:10px;padding:8px 12px}
tbody th,td{display:flex;justify-content:space-between;gap:16px;padding:2px 0;border:0;white-space:normal;text-align:right}
tbody th{text-align:left;overflow-wrap:anywhere;margin-bottom:2px}td:empty{display:none}
td::before{content:attr(data-title);color:var(--soft);flex:none}}`;
