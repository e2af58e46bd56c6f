# What the report says about the runs. The report itself: snakemake --report report.html


rule overview:
    input:
        run_files(),
        [plan.selection_path(selection) for selection in plan.selections.values()],
        rendered_files(),
        code=ANALYSIS,
    output:
        reported(f"{plan.figures}/overview.html", "overview", "1 Overview", "Overview"),
        reported(f"{plan.figures}/runs.html", "runs", "5 Provenance", "Every run"),
        reported(f"{plan.figures}/runs.csv", "runs", "5 Provenance", "Every run (CSV)"),
        reported(f"{plan.figures}/params.html", "params", "5 Provenance", "Params"),
        f"{plan.figures}/overview.md",
        f"{plan.figures}/params.yaml",
    log:
        f"logs/{SCALE}/overview.log",
    conda:
        "../../environment.yml"
    params:
        options=OPTIONS,
        plan=digest(canonical(asdict(plan.params))),
    shell:
        "python -m catfish overview {params.options} > {log} 2>&1"
