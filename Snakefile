# The workflow's targets: `figures` (the default: everything), `runs`, `data`.


include: "workflow/rules/common.smk"


rule figures:
    default_target: True
    input:
        rendered_files(),
        metrics_files(),


include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/select.smk"
include: "workflow/rules/render.smk"
