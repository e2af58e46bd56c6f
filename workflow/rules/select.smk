# The best value of a grid, by validation accuracy: eta* of a setting, or a method's coefficient there.


rule select:
    input:
        candidate_files,
    output:
        f"{plan.results}/select/{{selection}}.json",
    log:
        f"logs/{SCALE}/select/{{selection}}.log",
    wildcard_constraints:
        selection="|".join(
            re.escape(selection.id)
            for selection in plan.selections.values()
            if selection not in CHOSEN
        )
        or "none",
    localrule: True  # a second's work that many jobs of a cluster wait for
    conda:
        "../../environment.yml"
    params:
        options=OPTIONS,
        grid=candidate_values,
    shell:
        "python -m catfish select {params.options} {wildcards.selection} > {log} 2>&1"
