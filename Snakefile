# The workflow's targets: `figures` (the default: everything), `runs`, `data`.


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"


rule figures:
    default_target: True
    input:
        whole_campaign,


include: "workflow/rules/data.smk"
include: "workflow/rules/archive.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/select.smk"
include: "workflow/rules/render.smk"
include: "workflow/rules/report.smk"


onstart:
    campaign.begin(SCALE)


onsuccess:
    campaign.end()


onerror:
    campaign.end()
    # The report can be made all the same; its overview lists what failed.
    shell(
        f"python -m catfish overview {OPTIONS} > logs/{SCALE}/overview.log 2>&1 || true"
    )
