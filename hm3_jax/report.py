r"""Makes tables and figures of finished runs, beside the published results.

Reads every run folder below --runs (as train and sweep write them) and writes
OUTPUT/report.html (one page with everything), report.md, tables/ (Markdown, LaTeX, CSV)
and figures/ (PDF, SVG, PNG, and their data as CSV). Unfinished, failed or damaged runs
are named in one line each and left out of all averages. An existing report is replaced.

  python -m hm3_jax.report --runs=runs --output=report \
    --compare=STL/NAME,CN_TC_2nd_w_0.05/NAME
"""

import time
import warnings
from pathlib import Path

from absl import flags

from hm3_jax.cli import frame, path_flags
from hm3_jax.files.words import counted
from hm3_jax.reporting.published import load_published

_LAYOUTS = tuple(load_published().layouts)

_RUNS = path_flags.define_paths(
    "runs", None, "Folders with runs: workdirs, or experiments.", required=True
)
_EVALUATIONS = path_flags.define_paths(
    "evaluations",
    [],
    "Folders that evaluate --query_sentences has written; shown beside the runs, by "
    "number of sentences.",
)
_OUTPUT = path_flags.define_path(
    "output",
    None,
    "Folder to write to: new, empty or an earlier report, which is replaced.",
    required=True,
)
_LAYOUT = flags.DEFINE_list(
    "layout",
    ["all"],
    f"Published tables to fill: all, or some of {', '.join(_LAYOUTS)}.",
)
_COMPARE = flags.DEFINE_multi_string(
    "compare",
    [],
    "Two runs, each EXPERIMENT/STRATEGY, to compare in all metrics (paired bootstrap): "
    "separated by a comma, or in two flags. Names may contain commas.",
)
_SHOW = flags.DEFINE_multi_string(
    "show",
    [],
    "Runs, each EXPERIMENT/STRATEGY, that figures show, the first two side by side; "
    "given as for --compare. If not given, runs of the strategy with the best mAP.",
)
_FIGURES = flags.DEFINE_bool("figures", True, "Draw figures.")


def main() -> None:
    """Reads the flags and makes the report."""
    begin = time.perf_counter()
    layouts = _layouts()
    from hm3_jax.reporting.build import ReportConfig, make_report

    config = ReportConfig(
        runs=tuple(map(Path, _RUNS.value)),
        output=Path(_OUTPUT.value),
        layouts=layouts,
        compare=tuple(filter(None, _COMPARE.value)),
        show=tuple(filter(None, _SHOW.value)),
        figures=_FIGURES.value,
        evaluations=tuple(map(Path, _EVALUATIONS.value)),
    )
    report = make_report(config, lambda line: warnings.warn(line, stacklevel=2))
    finished = sum(run.complete for run in report.runs)
    print(
        f"{counted(len(report.runs), 'run')} ({finished} complete), "
        f"{counted(len(report.tables), 'table')}, "
        f"{counted(len(report.drawings), 'figure')}; "
        f"{time.perf_counter() - begin:.0f} s"
    )
    for table in report.tables:
        print(f"  {table.name:24s} {table.title}")
    print(f"written to {_OUTPUT.value}: open report.html")


def _layouts() -> tuple[str, ...]:
    """The published tables that flags ask for; refuses what they say wrongly."""
    if not any(_RUNS.value):
        raise ValueError("--runs: expected folders, found none")
    layouts = _LAYOUTS if _LAYOUT.value == ["all"] else tuple(_LAYOUT.value)
    for layout in layouts:
        if layout not in _LAYOUTS:
            raise ValueError(
                f"--layout: expected all or some of {', '.join(_LAYOUTS)}, found "
                f"{layout}"
            )
    if _SHOW.value and not _FIGURES.value:
        raise ValueError("--show has no effect with --nofigures")
    return layouts


if __name__ == "__main__":
    frame.run(main)
