"""``cnn bench``."""

import statistics
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnncli import ranks
from cnncli.errors import ConfigError
from cnncli.options import ConfigArgument, Json, Sets

if TYPE_CHECKING:
    from cnncli.benching import Figures
    from cnncli.experiment import Experiment


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("bench")(bench)


def bench(
    config: ConfigArgument = "lenet5",
    sets: Sets = None,
    rounds: Annotated[int, typer.Option(min=1, max=1000, help="How often each is timed.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.01, max=3600, help="How long each takes in a round, about.")] = 1.0,
    json: Json = False,
) -> None:
    """Show where the time of training goes: images a second of the loop, of the machine's limit, and of each part.

    The limit is forward, backward and step on one batch that stays in memory, in either layout. Nothing is kept: no run
    directory, no weights. Leave the machine alone meanwhile; all are timed in turn, and medians are shown.

    Example: cnn bench tinyvgg --set train.batch_size=128
    """
    from cnncli.benching import measure
    from cnncli.config.validation import load_config
    from cnncli.display import Display, print_json, print_text
    from cnncli.experiment import Experiment

    if ranks.world_size() > 1:
        raise ConfigError("cnn bench times one process; start it without torchrun")
    settings = load_config(config, sets or [])
    with Display() as display:
        experiment = Experiment.prepare(settings, display.note)
        with experiment.listing_broken("train", "val"):
            display.note(f"{settings.train.name}: 6 contenders, {rounds} rounds of about {seconds:g} s each")
            figures = measure(experiment, rounds, seconds, display.follow)
    result = _result(figures, experiment)
    print_json(result) if json else print_text(_summary(result))


def _result(figures: "Figures", experiment: "Experiment") -> dict[str, Any]:
    """Return what ``--json`` prints."""
    from cnncli.benching import verdict
    from cnncli.runtime import cores_a_rank

    config, runtime = experiment.config, experiment.runtime
    speeds = {"loop": figures.loop, **{f"limit_{layout}": values for layout, values in figures.limits.items()}}
    speeds |= {"loader": figures.loader, "evaluation": figures.evaluation, "inference": figures.inference}
    return {
        "name": config.train.name,
        "model": config.model.name,
        "batch_size": config.train.batch_size,
        "device": str(runtime.device),
        "precision": runtime.precision,
        "threads": runtime.threads,
        "memory_format": runtime.memory_format,
        "rounds": len(figures.loop),
        "images_per_second": {
            name: {"median": statistics.median(values), "min": min(values), "max": max(values)}
            for name, values in speeds.items()
        },
        "of_limit": figures.of_limit,
        "evaluation_of_inference": figures.of_inference,
        "waiting": figures.waiting,
        "peak_memory": figures.peak_memory,
        "verdict": verdict(figures, experiment.workers, cores_a_rank()),
    }


def _summary(result: dict[str, Any]) -> str:
    about = {
        "loop": f"training as it is, {result['of_limit']:.0%} of the limit; waits {result['waiting']:.0%} of its time",
        "limit_contiguous": "forward, backward and step on one batch, contiguous",
        "limit_channels_last": "the same in channels_last",
        "loader": "batches alone",
        "evaluation": f"scoring, {result['evaluation_of_inference']:.0%} of inference",
        "inference": "the network alone, on one batch",
    }
    threads = f" with {result['threads']} threads" if result["device"] == "cpu" else ""
    lines = [
        f"{result['model']}, batches of {result['batch_size']:,}, {result['device']}{threads}, {result['precision']},"
        f" {result['memory_format']}",
        f"images a second, medians of {result['rounds']} rounds (range)",
    ]
    for name, told in about.items():
        speed = result["images_per_second"][name]
        spread = f"({speed['min']:,.0f} to {speed['max']:,.0f})"
        lines.append(f"  {name.partition('_')[0]:11}{speed['median']:>10,.0f}  {spread:24} {told}")
    if result["peak_memory"] is not None:
        lines.append(f"memory     {result['peak_memory'] / 1e6:>10,.0f}  MB at most")
    return "\n".join([*lines, f"verdict    {result['verdict']}"])
