"""The names that params.yaml may use are those of the tables and figures that there are."""

from catfish import outputs
from catfish.analysis import mechanism_tables, quantities
from catfish.analysis.figures import FIGURES, early


def test_every_table_and_figure_has_its_name_here_and_no_other():
    assert tuple(quantities.TABLES) == outputs.TABLES
    assert tuple(mechanism_tables.TABLES) == outputs.MECHANISM_TABLES
    assert tuple(FIGURES) == outputs.FIGURES


def test_the_figures_that_need_an_early_loss():
    assert tuple(name for name, draw in FIGURES.items() if draw is early.draw) == outputs.EARLY_FIGURES
