"""Results within documents: what stands between two marks of a Markdown file is a table or picture of the pipeline.

    <!-- laptop: table1 -->             the table of figures/laptop/table1.md
    <!-- laptop: claims -->             of a page with sections, what stands before the first one
    <!-- laptop: overview / Settings -->  one of its sections
    <!-- laptop: figure1 -->            the picture, copied to docs/pictures/laptop-figure1.png

each up to the next `<!-- end -->`.
"""

import os
import re
from pathlib import Path

from catfish.errors import ResultError
from catfish.files import copy
from catfish.plan import is_figure
from catfish.records import write_text

PICTURES = Path("docs") / "pictures"
_MARK = re.compile(
    r"<!-- (?P<scale>\w+): (?P<name>\w+)(?: / (?P<section>[^>]+?))? -->\n(?P<text>.*?)<!-- end -->", re.S
)


def update(document: Path) -> int:
    """Bring everything between a document's marks up to date with figures/<scale>/; returns how many places there are.

    Raises ResultError, with the document unchanged, for a mark without its end, or if what it names was not rendered.
    """
    try:
        text = document.read_text(encoding="utf-8")
    except OSError as error:
        raise ResultError(f"{document}: cannot be read ({error.strerror})") from error
    filled, count = _MARK.subn(lambda mark: _filled(mark, document), text)
    begun, ended = (len(re.findall(mark, text)) for mark in (r"<!-- \w+: \w+.* -->", "<!-- end -->"))
    if not begun == ended == count:
        raise ResultError(f"{document}: {begun} marks and {ended} of `<!-- end -->`; each mark needs its own end")
    write_text(document, filled)
    return count


def _filled(mark: re.Match, document: Path) -> str:
    scale, name, section = mark["scale"], mark["name"], mark["section"]
    opening = mark[0].partition("\n")[0]
    content = _picture(scale, name, document) if is_figure(name) else _part(_rendered(scale, f"{name}.md"), section)
    return f"{opening}\n{content}\n<!-- end -->"


def _picture(scale: str, name: str, document: Path) -> str:
    """The Markdown that shows a figure's copy."""
    source, target = _rendered(scale, f"{name}.png"), PICTURES / f"{scale}-{name}.png"
    copy(source, target)
    return f"![{name} at the scale {scale}]({Path(os.path.relpath(target, document.parent)).as_posix()})"


def _part(page: Path, section: str | None) -> str:
    """A section of a page; without a name, what stands below its title."""
    _, *parts = re.split(r"^#+ ", page.read_text(encoding="utf-8"), flags=re.M)
    bodies = {title.strip(): body.strip() for title, _, body in (part.partition("\n") for part in parts)}
    if section is None:
        return next(iter(bodies.values()))
    if section not in bodies:
        raise ResultError(f"{page}: no section {section!r}; there are: {', '.join(bodies)}")
    return bodies[section]


def _rendered(scale: str, file: str) -> Path:
    path = Path("figures") / scale / file
    if not path.is_file():
        raise ResultError(f"{path}: not there; make figures SCALE={scale}")
    return path
