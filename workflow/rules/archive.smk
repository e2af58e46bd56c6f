# Archived runs, in place of training: `dvc pull` fetches an archive, `catfish pack` makes one.

if UNPACKED:

    rule unpack:
        input:
            ARCHIVE.files,
        output:
            update(unpacked_files()),
        log:
            f"logs/{SCALE}/unpack.log",
        localrule: True
        conda:
            "../../environment.yml"
        params:
            options=OPTIONS,
            runs=digest(canonical([plan.job_text(job) for job in UNPACKED])),
        shell:
            "python -m catfish unpack {params.options} > {log} 2>&1"
