# One job trains one configuration with all its seeds in one process. Its outputs are updated, not replaced: a run
# that is already there, made by the same settings, code and data, is recognised and left alone.


# `--config only=vgg11_c100,simplecnn_c10 -- runs`: this machine's part of a campaign.
rule runs:
    input:
        run_files(ONLY),
        [
            plan.selection_path(selection)
            for selection in plan.selections.values()
            if selection.setting in ONLY
        ],


# Output files must follow from wildcards alone, so there is one rule for each number of seeds and kind of run.
for seeds, files in sorted(
    {(number, plan.run_files(job)) for job, number in trained().items()}
):

    rule:
        name:
            "_".join([f"train_{seeds}_seeds", *(Path(file).stem for file in files[3:])])
        input:
            training_inputs,
        output:
            update(
                expand(
                    f"{plan.results}/runs/{{{{configuration}}}}/seed{{seed}}/{{file}}",
                    seed=range(seeds),
                    file=files,
                )
            ),
        log:
            f"logs/{SCALE}/train/{{configuration}}.log",
        wildcard_constraints:
            configuration="|".join(
                re.escape(configuration.id)
                for configuration, number in trained().items()
                if (number, plan.run_files(configuration)) == (seeds, files)
            ),
        # A run that was asked to end has saved its state, and goes on: here, or in a new job of the cluster.
        retries: 0 if workflow.remote_exec else 1
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            gpu=config.get("gpu_per_job", 0),
            mem_mb=training_memory,
            runtime=training_minutes,
        params:
            options=OPTIONS,
            runs=training_text,
        shell:  # exec: no shell in between that a signal would end before the state is saved
            "exec python -m catfish train {params.options} $TRAINING_OPTIONS --threads {threads} {wildcards.configuration} > {log} 2>&1"
