"""Saves a run in its folder and opens it again, in another process or on another machine."""

import shutil
from dataclasses import replace
from pathlib import Path

import filmcolor.weights as weights_store
from filmcolor.errors import PlanError
from filmcolor.files import atomic_write
from filmcolor.pipeline.models import model_identity
from filmcolor.pipeline.plan_file import read_plan, write_plan
from filmcolor.pipeline.run import Run, weights_digest
from filmcolor.segments.journal import Journal, identify_source
from filmcolor.video.sequence_names import file_state

_KEPT_WEIGHTS = "weights"  # in the folder: the run's weights, if they are not shipped


def save_run(run: Run) -> None:
    """Write the plan of a run into its journal's folder, for `open_run`.

    Weights that are not shipped are copied there. Call it while the output is locked. Raises
    OutputError when it cannot be written.
    """
    options, folder = run.options, run.journal.folder
    if options.weights not in weights_store.shipped():
        weights = weights_store.find(options.weights)
        with atomic_write(folder / f"{_KEPT_WEIGHTS}{weights.suffix}") as partial:
            shutil.copyfile(weights, partial)
    if options.model:
        options = replace(options, model=str(Path(options.model).absolute()))
    films = tuple(
        replace(film, info=replace(film.info, path=film.info.path.absolute()))
        for film in run.guidance.colored_films
    )
    write_plan(
        folder,
        {
            "source": identify_source(run.info.path),
            "networks": {"weights": run.weights, **model_identity(options)},
            "info": replace(run.info, path=run.info.path.absolute()),
            "output": replace(run.plan, path=run.plan.path.absolute()),
            "part": run.part,
            "index": run.index,
            "guidance": replace(run.guidance, model_folder=None, colored_films=films),
            "colored_films": tuple((f.info.path, identify_source(f.info.path)) for f in films),
            "options": options,
            "identity": run.journal.identity,
            "segments": tuple(run.segments),
            "machine": run.machine,
        },
    )


def open_run(folder: Path, film: Path | None = None) -> Run:
    """Return the run that `save_run` wrote to a folder, on this machine or another.

    `film`: where the film is on this machine, if not where it was planned. Raises PlanError when
    the plan is damaged, or of another film, version or weights.
    """
    plan = read_plan(folder)
    info, options, guidance = plan["info"], plan["options"], plan["guidance"]
    info = info if film is None else replace(info, path=film.absolute())
    if identify_source(info.path) != plan["source"]:
        raise PlanError(
            f"{info.path} is not the film that {folder} was planned for; "
            "put that back, or plan again"
        )
    for path, source in plan["colored_films"]:
        if identify_source(path) != source:
            raise PlanError(
                f"{path} is not as it was when {folder} was planned; put it back, or plan again"
            )
    if kept := next(folder.glob(f"{_KEPT_WEIGHTS}.*"), None):
        options = replace(options, weights=str(kept))
    found = {"weights": weights_digest(options), **model_identity(options)}
    if changes := [name for name, value in found.items() if value != plan["networks"][name]]:
        raise PlanError(
            f"{folder} was planned with other files: {', '.join(changes)}; "
            "put the same on all machines, or plan again"
        )
    if options.model:
        guidance = replace(guidance, model_folder=folder)
    journal = Journal(plan["output"].path, folder)
    journal.identity = plan["identity"]
    return Run(
        info=info,
        plan=plan["output"],
        part=plan["part"],
        index=plan["index"],
        guidance=guidance,
        options=options,
        journal=journal,
        segments=plan["segments"],
        weights=plan["networks"]["weights"],
        is_restart=False,
        source_state=file_state(info.path),
        machine=plan["machine"],
    )
