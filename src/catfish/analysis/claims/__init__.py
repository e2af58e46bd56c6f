"""The claims of the paper, its talk and its follow-up, with statistics, intervals and verdicts; see docs/claims.md."""

from pathlib import Path

from catfish.analysis import webpage
from catfish.analysis.claims import (
    curvature,
    learning_rate,
    mechanisms,
    micro_batches,
    noise,
    page,
    penalties,
)
from catfish.analysis.claims.evidence import Evidence
from catfish.analysis.claims.verdicts import Claim
from catfish.errors import ConfigError
from catfish.plan import Plan
from catfish.records import write_text

NAME = "claims"
CLAIMS = (
    learning_rate.small_rate_generalises_worse,
    learning_rate.early_trace_predicts_accuracy,
    penalties.fisher_penalty_generalises_best,
    penalties.penalties_reduce_largest_trace,
    penalties.penalty_is_needed_from_the_start,
    noise.penalty_slows_memorisation,
    noise.penalties_resist_label_noise,
    curvature.early_trace_decides_final_curvature,
    curvature.traces_correlate,
    penalties.approximations_do_not_matter,
    learning_rate.large_rate_avoids_large_traces,
    mechanisms.variance_reduction,
    mechanisms.preconditioning,
    mechanisms.edge_of_stability,
    micro_batches.gradient_penalties_recover,
    micro_batches.jacobian_penalties_do_not,
    micro_batches.large_micro_batches_do_not,
    micro_batches.similar_norms_recover,
)


def render(plan: Plan, name: str = NAME, folder: Path | None = None) -> list[Path]:
    """Write claims.csv (tidy), claims.md, .tex and .html into `folder` (default: the plan's figures).

    Judges by the runs of those outputs that the params file has; raises RecordError if one of them cannot be read.
    """
    if name != NAME:
        raise ConfigError(f"no output {name!r}; the claims are rendered as {NAME!r}")
    folder = plan.figures if folder is None else folder
    judged = collect(plan)
    markdown = page.markdown(plan.params, judged)
    texts = {
        "csv": page.table(judged).to_csv(index=False, lineterminator="\n"),
        "md": markdown,
        "tex": page.latex(plan.params, judged),
        "html": webpage.from_markdown(markdown),
    }
    for suffix, text in texts.items():
        write_text(folder / f"{name}.{suffix}", text)
    return [folder / f"{name}.{suffix}" for suffix in texts]


def collect(plan: Plan) -> list[Claim]:
    """All claims, judged by the plan's runs."""
    evidence = Evidence(plan)
    return [claim(evidence) for claim in CLAIMS]
