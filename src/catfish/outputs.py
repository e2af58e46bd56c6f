"""The names of all tables and figures that can be rendered, for whoever has to know them without what renders them."""

TABLES = (*(f"table{number}" for number in range(1, 7)), "mech_table3", "mech_table4")  # of best values: no sweeps
MECHANISM_TABLES = ("mech_table1", "mech_table2")
FIGURES = (
    *(f"figure{number}" for number in range(1, 19)),
    *(f"mech_figure{number}" for number in range(1, 8)),
)
EARLY_FIGURES = ("figure2", "figure7")  # of Tr(F) at a setting's `early_loss`
CONTINUATION_FIGURES = ("figure6", "figure10")  # of Tr(H) where training that continues another run ends
TRAJECTORY_FIGURES = ("mech_figure3",)  # of two learning rates in one setting
MEASURED = {  # the key of `measure` without which there is nothing to show
    **dict.fromkeys(("figure11", "figure18"), "hessian_every"),
    **dict.fromkeys(("figure15", "figure16"), "fisher_steps"),
    **dict.fromkeys(("mech_table1", "mech_table2", "mech_figure1", "mech_figure2", "mech_figure4"), "spectra_every"),
    "mech_figure3": "trajectory_steps",
    "mech_figure5": "allocation_steps",
}
