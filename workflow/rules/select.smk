# The best value of a grid, by validation accuracy: eta* of a setting, or a method's coefficient there.


rule select:
    input:
        candidate_files,
    output:
        f"{plan.results}/select/{{setting}}/{{quantity}}.json",
    log:
        f"logs/{SCALE}/select/{{setting}}/{{quantity}}.log",
    localrule: True  # a second's work that many jobs of a cluster wait for
    conda:
        "../../environment.yml"
    params:
        options=OPTIONS,
        grid=candidate_values,
    shell:
        "python -m catfish select {params.options} {wildcards.setting}/{wildcards.quantity} > {log} 2>&1"
