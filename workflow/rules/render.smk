# One rule for every table and figure of the params file, named as there, and what DVC shows of the runs.

ANALYSIS = sorted(
    (SOURCE / "catfish" / "analysis").rglob("*.*[yv]")
)  # modules and published numbers

for output in plan.params.outputs:
    shown, *others = output_files(output)

    rule:
        name:
            output
        input:
            plan.inputs(output),
            code=ANALYSIS,
        output:
            reported(
                shown,
                output,
                "2 Figures" if is_figure(output) else "3 Tables",
                title(output),
            ),
            others,
        log:
            f"logs/{SCALE}/render/{output}.log",
        conda:
            "../../environment.yml"
        params:
            options=OPTIONS,
            name=output,
            shown=digest(plan.output_text(output)),
        shell:
            "python -m catfish render {params.options} {params.name} > {log} 2>&1"


# The claims rest on the runs of nearly every output, so they take them all.
rule claims:
    input:
        [path for output in plan.params.outputs for path in plan.inputs(output)],
        code=ANALYSIS,
    output:
        reported(output_files("claims")[0], "claims", "4 Claims", "Claims"),
        output_files("claims")[1:],
    log:
        f"logs/{SCALE}/render/claims.log",
    conda:
        "../../environment.yml"
    params:
        options=OPTIONS,
        shown=digest(
            canonical([plan.output_text(name) for name in plan.params.outputs])
        ),
    shell:
        "python -m catfish render {params.options} claims > {log} 2>&1"


rule metrics:
    input:
        [
            path
            for output in plan.params.outputs
            if not is_figure(output)
            for path in plan.inputs(output)
        ],
        code=ANALYSIS,
    output:
        metrics=f"{plan.results}/metrics.json",
        curves=f"{plan.results}/curves.csv",
    log:
        f"logs/{SCALE}/metrics.log",
    conda:
        "../../environment.yml"
    params:
        options=OPTIONS,
    shell:
        "python -m catfish metrics {params.options} --json {output.metrics} --curves {output.curves} > {log} 2>&1"
