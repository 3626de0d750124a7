"""Options and arguments that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

from cnncli.completion import offer_configs, offer_devices, offer_settings

CheckpointPath = Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="Such as runs/lenet5/checkpoints/best.pt.")]
ConfigArgument = Annotated[
    str, typer.Argument(metavar="CONFIG", help="A YAML file, or a bundled config.", autocompletion=offer_configs)
]
Device = Annotated[
    str | None,
    typer.Option(help="auto, cpu, mps, cuda or cuda:N; else as in training.", autocompletion=offer_devices),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="SECTION.KEY=VALUE", help="Change any field; repeatable.", autocompletion=offer_settings
    ),
]
