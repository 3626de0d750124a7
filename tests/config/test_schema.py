"""The JSON Schema, and the bundled configs against it."""

import json

import jsonschema
import pytest

from cnncli.config.loading import bundled_directory, bundled_names, read, read_file
from cnncli.config.schema import json_schema
from cnncli.config.validation import load_config, validate
from cnncli.errors import ConfigError

SCHEMA = json_schema()


def test_the_committed_schema_is_current() -> None:
    """Renew it with: cnn config schema > configs/schema.json"""
    assert json.loads((bundled_directory() / "schema.json").read_text()) == SCHEMA


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_field_is_described() -> None:
    for name, definition in SCHEMA["$defs"].items():
        for key, field in definition["properties"].items():
            assert field.get("description"), f"{name}.{key}"
    for section, reference in SCHEMA["properties"].items():
        name = reference.get("$ref", "").rpartition("/")[2]
        assert reference.get("description") or SCHEMA["$defs"][name]["description"], section


@pytest.mark.parametrize("name", bundled_names())
def test_bundled_configs_are_valid(name: str) -> None:
    path = bundled_directory() / f"{name}.yaml"
    assert path.read_text().splitlines()[0] == "# yaml-language-server: $schema=schema.json"
    jsonschema.validate(read_file(path).data, SCHEMA)
    assert load_config(name).train.name == name


@pytest.mark.parametrize(
    "text",
    [
        "data: {name: mnist}",
        "data: {name: mnist}\nmodel: {name: lenet6}",
        "data: {name: mnist}\nmodel: {name: torchvision/}",
        "data: {name: mnist}\nmodel: {name: torchvision/resnet18, hidden: 3}",
        "data: {name: mnist}\nmodel: {name: torchvision/resnet18, in_channels: 1}",
        "data: {name: mnist}\nmodel: {name: lenet5, hidden: 3}",
        "data: {name: mnist}\nmodel: {name: lenet5}\ntrain: {epochs: 0}",
        "data: {name: mnist}\nmodel: {name: lenet5}\nfoo: {}",
        "data: {name: mnist}\nmodel: {padding: 2}",
        "data: {name: npz}\nmodel: {name: lenet5}",
        "data: {name: mnist}\nmodel: lenet5",
        "data: {name: mnist}\nmodel: {name: lenet5}\ntrain: {epochs: 1.5}",
        "data: {name: mnist}\nmodel: {name: lenet5}\ntrain: {epochs: '1'}",
        "data: {name: mnist}\nmodel: {name: lenet5}\ntrain:",
        "data: {name: mnist}\nmodel: {name: lenet5}\noptimizer: {lr: 0}",
        "data: {name: mnist}\nmodel: {name: lenet5}\noptimizer: {name: adam, momentum: 0}",
        "data: {name: mnist}\nmodel: {name: lenet5}\nruntime: {device: gpu}",
        "data: {name: mnist, std: [0]}\nmodel: {name: lenet5}",
    ],
)
def test_editors_mark_what_is_wrong(text: str) -> None:
    data = read(text, "my.yaml").data
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, SCHEMA)
    with pytest.raises(ConfigError):
        validate(read(text, "my.yaml"))


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "optimizer: {lr: 0.1, momentum: 0}",  # the default's options, without its name
        "optimizer: {name: adam, beta1: 0.8}",
        "schedule: {warmup_epochs: 1}",
        "schedule: {name: step, every_epochs: 3}",
        "loss: {label_smoothing: 0.1}",
        "runtime: {threads: 2, device: 'cuda:1'}",
        "runtime: {threads: auto}",
        "train: {clip_norm: null, ema: 0.99, epochs: 3}",
    ],
)
def test_editors_accept_what_training_accepts(rest: str) -> None:
    document = read(f"data: {{name: mnist}}\nmodel: {{name: lenet5}}\n{rest}", "my.yaml")
    validate(document)
    jsonschema.validate(document.data, SCHEMA)


@pytest.mark.parametrize("model", ["{name: torchvision/vit_b_16, image_size: 64}", "{name: torchvision/resnet18}"])
def test_of_a_family_one_section_stands_for_all(model: str) -> None:
    document = read(f"data: {{name: mnist}}\nmodel: {model}", "my.yaml")
    validate(document)
    jsonschema.validate(document.data, SCHEMA)
    assert "default" not in SCHEMA["$defs"]["Model_torchvision"]["properties"]["image_size"]  # each has its own
