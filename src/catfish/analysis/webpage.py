"""Pages for the report: one HTML file each, without anything that would have to be fetched."""

from html import escape

import pandas as pd
from markdown_it import MarkdownIt

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 "Helvetica Neue", Arial, sans-serif; color: #222; margin: 2rem; }}
h1 {{ font-size: 1.5rem; }}
h2 {{ font-size: 1.15rem; margin-top: 2rem; }}
p, li {{ max-width: 60rem; }}
table {{ border-collapse: collapse; border-top: 2px solid #222; border-bottom: 2px solid #222; }}
th, td {{ padding: 0.2rem 0.7rem; text-align: left; vertical-align: top; font-variant-numeric: tabular-nums; }}
th {{ border-bottom: 1px solid #222; vertical-align: bottom; background: #fff; position: sticky; top: 0; }}
td[style*=right], .dataframe td {{ white-space: nowrap; }}
tr:hover td {{ background: #f2f5f8; }}
code, pre {{ font: 13px/1.45 Menlo, Consolas, monospace; }}
</style>
</head>
<body>
{body}</body>
</html>
"""


def from_markdown(text: str) -> str:
    """A page from Markdown with pipe tables; the first line, `# ...`, is its title."""
    title = text.partition("\n")[0].removeprefix("# ")
    return _PAGE.format(title=escape(title), body=MarkdownIt("commonmark").enable("table").render(text))


def from_table(title: str, frame: pd.DataFrame) -> str:
    """A page with a whole table; missing cells are empty."""
    cells = frame.astype(object).where(frame.notna(), "")
    table = cells.to_html(index=False, border=0, justify="left", float_format="{:g}".format)
    return _PAGE.format(title=escape(title), body=f"<h1>{escape(title)}</h1>\n{table}\n")


def from_text(title: str, text: str) -> str:
    """A page with a text as it stands."""
    return _PAGE.format(title=escape(title), body=f"<h1>{escape(title)}</h1>\n<pre>{escape(text)}</pre>\n")
