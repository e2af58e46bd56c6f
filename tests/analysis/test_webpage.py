"""Pages: what Markdown, a table and a text become."""

from html.parser import HTMLParser

import pandas as pd

from catfish.analysis import webpage


class Reader(HTMLParser):
    """The text in every kind of element, and every address."""

    def __init__(self, html: str):
        super().__init__()
        self.texts, self.addresses, self.open = {}, [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.addresses += [value for key, value in attributes if key in ("src", "href")]

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if self.open and data.strip():
            self.texts.setdefault(self.open[-1], []).append(data.strip())


def test_a_markdown_table_becomes_one_of_html():
    table = "|  | η* | FP at η* |\n|:--|--:|--:|\n| *VGG* |  | |\n| ours | **1.0 ± 0.1 (2)†** | <2 |"
    text = f"# Table 1: a & b\n\n{table}\n\n- note_one_two\n"
    read = Reader(webpage.from_markdown(text))
    assert read.texts["title"] == read.texts["h1"] == ["Table 1: a & b"]
    assert read.texts["th"] == ["η*", "FP at η*"]
    assert read.texts["strong"] == ["1.0 ± 0.1 (2)†"] and read.texts["em"] == ["VGG"]
    assert read.texts["td"] == ["ours", "<2"]
    assert read.texts["li"] == ["note_one_two"]
    assert read.addresses == []


def test_a_frame_becomes_a_table_with_empty_cells():
    frame = pd.DataFrame({"name": ["<a>", None], "value": [0.001, float("nan")], "count": pd.array([3, None], "Int64")})
    read = Reader(webpage.from_table("all & every", frame))
    assert read.texts["title"] == read.texts["h1"] == ["all & every"]
    assert read.texts["th"] == ["name", "value", "count"]
    assert read.texts["td"] == ["<a>", "0.001", "3"]


def test_a_text_stays_as_it_is():
    read = Reader(webpage.from_text("params", "a: <b>\n  c: 1 & 2"))
    assert read.texts["pre"] == ["a: <b>\n  c: 1 & 2"]
