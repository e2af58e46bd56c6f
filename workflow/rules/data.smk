# Raw files -> arrays and manifest -> split (who trains, who validates, with which labels).


rule data:
    input:
        [plan.split_path(split) for split in plan.splits.values()],


rule prepare:
    output:
        arrays="data/prepared/{dataset}/arrays.npz",
        manifest="data/prepared/{dataset}/manifest.json",
    log:
        "logs/prepare/{dataset}.log",
    wildcard_constraints:
        dataset="[a-z0-9]+",
    conda:
        "../../environment.yml"
    params:
        version=plan.params.code_version,
    shell:
        "python -m catfish prepare {wildcards.dataset} > {log} 2>&1"


rule split:
    input:
        "data/prepared/{dataset}/manifest.json",
    output:
        "data/prepared/{dataset}/split_{choice}.npz",
    log:
        "logs/split/{dataset}_{choice}.log",
    wildcard_constraints:
        dataset="[a-z0-9]+",
    conda:
        "../../environment.yml"
    params:
        version=plan.params.code_version,
    # The scale is not among params: scales share splits.
    shell:
        "python -m catfish split $SPLIT_OPTIONS {wildcards.dataset}/split_{wildcards.choice} > {log} 2>&1"
