"""What all self-contained HTML pages have: their frame, their style, tables, the script that they draw with. Fast to import: no
torch."""

import base64
import hashlib
import html
import importlib.resources
import json
from collections.abc import Sequence
from typing import Any

STYLE = """
:root { color-scheme: light dark; --ink: light-dark(#1c1e21, #e8e6e3); --quiet: light-dark(#60666d, #a0a6ad);
  --paper: light-dark(#fbfaf8, #17181a); --card: light-dark(#fff, #212327); --line: light-dark(#e3e0da, #35383d);
  --good: light-dark(#157347, #5fce93); --bad: light-dark(#b02a37, #ff8a94); }
body { margin: 0 auto; max-width: 74rem; padding: 2rem 1rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0; } h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; }
p.lead, figcaption, .quiet { color: var(--quiet); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; } .scroll { overflow-x: auto; }
th, td { text-align: right; padding: .25rem .8rem; border-bottom: 1px solid var(--line); } th:first-child, td:first-child { text-align: left; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(15.5rem, 1fr)); gap: 1rem; }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .75rem; }
figure .row { display: flex; gap: .5rem; align-items: flex-end; } img { image-rendering: pixelated; border-radius: 3px; display: block; }
figcaption { margin-top: .5rem; font-size: .88rem; line-height: 1.35; } .good { color: var(--good); } .bad { color: var(--bad); }
.sweep img { width: 80px; height: 80px; } pre { background: var(--card); border: 1px solid var(--line); padding: .75rem; overflow-x: auto; font-size: .85rem; }
svg { max-width: 100%; height: auto; } svg text { fill: var(--quiet); font: 11px system-ui, sans-serif; }
"""


def table(rows: Sequence[Sequence[Any]]) -> str:
    """Rows, the first being the head -> an HTML table; their text is escaped."""
    head = "".join(f"<th>{html.escape(str(c))}</th>" for c in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(c))}</td>" for c in r) + "</tr>" for r in rows[1:])
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def document(title: str, parts: Sequence[str], style: str = "", policy: str = "") -> str:
    """A whole page of HTML `parts`; `style`: CSS beyond what all pages have; `policy`: what the page may load, as a
    Content-Security-Policy, in which STYLES stands for the page's own style."""
    css = f"{STYLE}{style}"
    allowed = html.escape(policy.replace("STYLES", digest(css)), quote=True)
    meta = f'<meta http-equiv="Content-Security-Policy" content="{allowed}">' if policy else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{meta}<meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{css}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def script(package: str, *names: str) -> str:
    """One script: document.js, which the scripts of pages share, and after it the files `names` of `package`."""
    shared = importlib.resources.files("imagen.evaluation") / "document.js"
    files = [shared, *(importlib.resources.files(package) / name for name in names)]
    return "".join(file.read_text(encoding="utf-8") for file in files)


def digest(inline: str) -> str:
    """How a Content-Security-Policy names one inline script or style, so that no other one runs."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}'"


def plain_json(value: Any) -> str:
    """JSON that can stand in a page: nothing in it ends a script."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
