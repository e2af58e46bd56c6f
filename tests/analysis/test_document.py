"""Marks in a document are filled with what the pipeline rendered, and with nothing else."""

from pathlib import Path

import pytest

from catfish.analysis.document import update
from catfish.cli import main
from catfish.errors import ResultError

TABLE = "# Table 1: Accuracy\n\nScale laptop.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n- A note.\n"
CLAIMS = "# The claims\n\nA summary.\n\n## 1. One\n\nIn full.\n\n### Part\n\nMore.\n"
DOCUMENT = """# Results

Before.

<!-- laptop: table1 -->
an old table
<!-- end -->

<!-- laptop: claims -->
<!-- end -->
<!-- laptop: claims / 1. One -->
<!-- end -->
![hand made](x.png)
<!-- laptop: figure1 -->
<!-- end -->
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    figures = Path("figures/laptop")
    figures.mkdir(parents=True)
    (figures / "table1.md").write_text(TABLE)
    (figures / "claims.md").write_text(CLAIMS)
    (figures / "figure1.png").write_bytes(b"a picture")
    Path("docs").mkdir()
    return tmp_path


def test_marks_are_filled_and_the_rest_stays(folder):
    document = Path("docs/results.md")
    document.write_text(DOCUMENT)
    assert update(document) == 4
    text = document.read_text()
    assert text == DOCUMENT.replace(
        "an old table\n", "Scale laptop.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n- A note.\n"
    ).replace("claims -->\n", "claims -->\nA summary.\n").replace("One -->\n", "One -->\nIn full.\n").replace(
        "figure1 -->\n", "figure1 -->\n![figure1 at the scale laptop](pictures/laptop-figure1.png)\n"
    )
    assert Path("docs/pictures/laptop-figure1.png").read_bytes() == b"a picture"
    update(document)
    assert document.read_text() == text


def test_a_picture_is_found_from_the_documents_folder(folder):
    Path("README.md").write_text("<!-- laptop: figure1 -->\n<!-- end -->\n")
    main(["document", "README.md"])
    assert "(docs/pictures/laptop-figure1.png)" in Path("README.md").read_text()


@pytest.mark.parametrize(
    "text, words",
    [
        ("<!-- laptop: table2 -->\n<!-- end -->\n", "figures/laptop/table2.md: not there; make figures SCALE=laptop"),
        ("<!-- paper: figure1 -->\n<!-- end -->\n", "figures/paper/figure1.png: not there; make figures SCALE=paper"),
        (
            "<!-- laptop: claims / 2. Two -->\n<!-- end -->\n",
            "no section '2. Two'; there are: The claims, 1. One, Part",
        ),
        ("<!-- laptop: table1 -->\n", "1 marks and 0 of `<!-- end -->`"),
        ("<!-- laptop: table1 -->\n<!-- laptop: claims -->\n<!-- end -->\n", "2 marks and 1 of `<!-- end -->`"),
    ],
)
def test_a_mark_that_cannot_be_filled_leaves_the_document_alone(folder, text, words):
    document = Path("README.md")
    document.write_text(text)
    with pytest.raises(ResultError) as error:
        update(document)
    assert words in str(error.value)
    assert document.read_text() == text


def test_a_missing_document(folder):
    with pytest.raises(ResultError, match=r"READYOU\.md: cannot be read"):
        update(Path("READYOU.md"))
