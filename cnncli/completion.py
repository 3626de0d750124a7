"""What a shell offers at Tab: names of configs, models, kernels and runs, and the keys and values of ``--set``.

It has to come at once, so nothing here imports torch, but for the names within a family of models: keys and values are
those of ``configs/schema.json``.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from glob import escape, glob
from shlex import quote
from typing import Any

import typer

from cnncli.errors import CnnError

Offer = tuple[str, str]  # a word, and what it means
SIGNS = ("=", ":")  # at which bash takes words apart

_begun = ""  # what bash keeps of an assignment that is completed: it asks for what comes after the last sign alone


def offer_configs(incomplete: str) -> list[str]:
    """Return names of bundled configs, and YAML files, also those of a folder further down."""
    from cnncli.config.loading import bundled_names

    return bundled_names() + _found(incomplete, "*.yaml") + _found(incomplete, "*/*.yaml")


def offer_models(incomplete: str) -> list[str]:
    """Return the names of the models; a family's, which only torch knows, where its own is there already."""
    from cnncli.registry import MODELS

    families = MODELS.families()
    if (family := incomplete.partition("/")[0]) in families and "/" in incomplete:
        return MODELS.members(family)
    return MODELS.names() + [f"{family}/" for family in families]


def offer_devices() -> list[str]:
    """Return names of devices, which need not be there: to know would take as long as to import torch."""
    return ["auto", "cpu", "cuda", "mps"]


def offer_kernels() -> list[Offer]:
    """Return the kernels that have a name, and what they do."""
    from cnncli.analysis.classic_kernels import CLASSIC_KERNELS

    return [(name, kernel.about) for name, kernel in CLASSIC_KERNELS.items()]


def offer_runs(incomplete: str) -> list[str]:
    """Return run directories, also those of a folder further down."""
    configs = _found(incomplete, "*/config.yaml") + _found(incomplete, "*/*/config.yaml")
    return [config.removesuffix("/config.yaml") for config in configs]


def offer_settings(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Return ``section.key=`` for ``--set``, or the values that may follow; of things with a name, its own options."""
    known: dict[str, Any] = {}
    given = _given(ctx)
    for section, field in _schema()["properties"].items():
        named = given.get(section) or field.get("default")
        name = named.get("name") if isinstance(named, dict) else None
        known |= {f"{section}.{key}": value for key, value in _fields(section, name).items()}
    return _assignments(known, incomplete)


def offer_options(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Return ``option=`` for the ``--set`` of commands about a model, or the values that may follow."""
    fields = _fields("model", ctx.params.get("model"))
    return _assignments({key: value for key, value in fields.items() if key != "name"}, incomplete)


def mend_bash() -> None:
    """Put together the words that bash makes of ``--set model.name=lenet5`` by taking it apart at each sign."""
    global _begun
    given = os.environ["COMP_WORDS"].split("\n")[: int(os.environ["COMP_CWORD"]) + 1]
    words: list[str] = []
    for word in given:
        if word == "=" and words[-1].startswith("--"):
            words.append("")  # --config=lenet5 is --config lenet5
        elif words and (word in SIGNS or words[-1] == "" or words[-1].endswith(SIGNS)):
            words[-1] += word
        else:
            words.append(word)
    last = "" if given[-1] in SIGNS else given[-1]
    _begun = words[-1].removesuffix(last)
    words[-1] = last
    os.environ |= {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}


def _found(incomplete: str, pattern: str) -> list[str]:
    """Return paths that match; those that a shell would have to quote are left to its own completion of files."""
    paths = sorted(glob(escape(incomplete) + pattern))  # noqa: PTH207  # ./a stays ./a, as it was typed
    return [path for path in paths if quote(path) == path]


def _assignments(known: dict[str, Any], incomplete: str) -> list[Offer]:
    """Return what may be assigned to the keys that a word begins to name.

    Of a single one its values are offered at once: after a word that is the only one a shell puts a space.
    """
    key, equals, value = (_begun + incomplete).partition("=")
    if equals:
        return [(f"{key}={word}".removeprefix(_begun), "") for word in _values(key, known.get(key, {}), value)]
    keys = [name for name in known if name.startswith(key)]
    offers = [(f"{name}=", str(known[name].get("description", ""))) for name in keys]
    if len(keys) == 1:
        offers += [(f"{keys[0]}={word}", "") for word in _values(keys[0], known[keys[0]], "")]
    return offers


def _values(key: str, field: dict[str, Any], begun: str) -> list[str]:
    """Return the words that a field may be, its default among them."""
    from cnncli.registry import DATASETS

    if key in ("model.name", "data.name"):
        return offer_models(begun) if key == "model.name" else DATASETS.names()
    words: dict[str, None] = {}
    for kind in (field, *field.get("anyOf", ())):
        words |= dict.fromkeys(map(_word, kind.get("enum", ())))
        words |= dict.fromkeys(("false", "true") if kind.get("type") == "boolean" else ())
    default = field.get("default")
    return [*words] + [_word(default)] * ("default" in field and _word(default) not in words)


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _fields(section: str, name: str | None) -> dict[str, Any]:
    """Return the fields of a section, with the options of what it names, or of all that it might name."""
    variants = list(_variants(_schema()["properties"][section]))
    fields: dict[str, Any] = {}
    for variant in [variant for variant in variants if _is_called(variant, name)] or variants:
        fields |= variant
    names = [variant["name"]["const"] for variant in variants if "const" in variant.get("name", {})]
    return fields | {"name": {"enum": names}} if names else fields


def _variants(kind: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the fields that a section may have, once for each thing, or family of things, that it may name."""
    if "$ref" in kind:
        yield _schema()["$defs"][kind["$ref"].rpartition("/")[2]]["properties"]
    for branch in (*kind.get("oneOf", ()), *kind.get("anyOf", ())):
        yield from _variants(branch)


def _is_called(variant: dict[str, Any], name: object) -> bool:
    known = variant.get("name", {})
    return isinstance(name, str) and (known.get("const") == name or bool(re.match(known.get("pattern", "(?!)"), name)))


@cache
def _schema() -> dict[str, Any]:
    from cnncli.config.loading import bundled_directory

    schema: dict[str, Any] = json.loads((bundled_directory() / "schema.json").read_text(encoding="utf-8"))
    return schema


def _given(ctx: typer.Context) -> dict[str, Any]:
    """Return what the command line says so far, by its config and ``--set``; nothing where that is no config yet."""
    from cnncli.config.loading import Document, find, override, read_file

    document = Document("the command line")
    with suppress(CnnError):
        if config := ctx.params.get("config") or ctx.params.get("file"):
            document = read_file(find(config))
        for assignment in ctx.params.get("sets") or ():
            override(document, assignment)
    return document.data
