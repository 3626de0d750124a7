"""Every problem of a config, with its line and what to do."""

from pathlib import Path
from typing import Any

import pytest

from cnncli.config.loading import dump, read
from cnncli.config.schema import REGISTRIES, option_fields, section_class
from cnncli.config.validation import load_config, validate, validate_options
from cnncli.errors import ConfigError

GOOD = "data: {name: mnist}\nmodel: {name: lenet5}\n"


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        validate(read(text, "my.yaml"))
    assert error.value.exit_code == 2
    return str(error.value).splitlines()


def test_defaults() -> None:
    config = validate(read(GOOD, "my.yaml"))
    assert (config.optimizer.name, config.schedule.name, config.loss.name) == ("sgd", "constant", "cross_entropy")
    assert config.optimizer.options == {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.0, "nesterov": False}
    assert config.model.options["padding"] == 2
    assert (config.train.validate_on, config.train.report, config.data.validation) == ("val", "best", 0.1)


def test_all_problems_are_said_at_once_in_the_order_of_the_file() -> None:
    text = (
        "data: {name: mnist, limit: 0}\n"
        "model:\n  name: lenet5\n  padding: 1\n"
        "optimizer:\n  momentun: 0.9\n  lr: .nan\n"
        "train:\n  epochs: 0\n"
        "schedule: {name: cosin}\n"
        "augmnt: {}\n"
    )
    assert problems(text) == [
        "my.yaml:1: data.limit: must be at least 1, got 0",
        "my.yaml:4: model.padding: must be 0 or 2, got 1",
        "my.yaml:6: optimizer.momentun: unknown option of sgd; did you mean momentum?",
        "my.yaml:7: optimizer.lr: must be a finite number, got nan",
        "my.yaml:9: train.epochs: must be at least 1, got 0",
        "my.yaml:10: schedule.name: unknown schedule 'cosin'; did you mean cosine?",
        "my.yaml:11: augmnt: unknown section; did you mean augment?",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("train: {epochs: '3'}", "train.epochs: must be a whole number, got '3'"),
        ("train: {epochs: 1.5}", "train.epochs: must be a whole number, got 1.5"),
        ("train: {epochs: true}", "train.epochs: must be a whole number, got true"),
        ("train: {name: 3}", "train.name: must be text, got 3"),
        ("train: {report: bset}", "train.report: must be best or last, got 'bset'; did you mean best?"),
        ("train: 3", "train: must be a section of keys and values, got 3"),
        ("train:", "train: must be a section of keys and values, got null"),
        ("augment: {flip: 1}", "augment.flip: must be true or false, got 1"),
        ("augment: {flip: yes}", "augment.flip: must be true or false, got 'yes'"),
        ("optimizer: {lr: -1}", "optimizer.lr: must be above 0, got -1"),
        ("optimizer: {lr: .inf}", "optimizer.lr: must be a finite number, got inf"),
        ("optimizer: {name: adam, momentum: 0}", "optimizer.momentum: unknown option of adam; known are"),
        ("optimizer: {name: [adam]}", "optimizer.name: must be text, got ['adam']"),
        ("optimizer: {lr: 0}", "optimizer.lr: must be above 0, got 0"),
        ("optimizer: {lr: .nan}", "optimizer.lr: must be a finite number, got nan"),
        ("optimizer: {lr: 1e999}", "optimizer.lr: must be a finite number, got inf"),
        ("optimizer: {lr: 1001}", "optimizer.lr: must be at most 1000, got 1001"),
        ("optimizer: {lr: '0.1'}", "optimizer.lr: must be a number, got '0.1'"),
        ("optimizer: {lr: true}", "optimizer.lr: must be a number, got true"),
        ("optimizer: {lr: null}", "optimizer.lr: must be a number, got null"),
        ("optimizer: {lr: [0.1]}", "optimizer.lr: must be a number, got [0.1]"),
        ("optimizer: {name: null}", "optimizer.name: must be text, got null"),
        ("optimizer: adam", "optimizer: must be a section, got 'adam'; did you mean optimizer: {name: adam}?"),
        ("optimizer: [adam]", "optimizer: must be a section of keys and values, got ['adam']"),
        ("optimizer: {LR: 1}", "optimizer.LR: unknown option of sgd; did you mean lr?"),
        ("augment: {resized_crop: [1.0, 0.5]}", "augment.resized_crop: from 1.0 to 0.5 is no range: the smaller one"),
        ("augment: {crop: true, resized_crop: [0.5, 1.0]}", "augment.crop: cannot go with augment.resized_crop"),
        ("optimizer: {nesterov: true, momentum: 0}", "optimizer.nesterov: looks ahead along the momentum, but"),
        ("train: {epochs: 1e1}", "train.epochs: must be a whole number, got 10.0"),
        ("train: {epochs: {a: 1}}", "train.epochs: must be a whole number, got {'a': 1}"),
        ("train: {seed: 4294967296}", "train.seed: must be below 4294967296, got 4294967296"),
        ("train: {log_every: null}", "train.log_every: must be a whole number, got null"),
        ("train: {clip_norm: .inf}", "train.clip_norm: must be a finite number, got inf"),
        ("train: {clip_norm: x}", "train.clip_norm: must be a number, got 'x'"),
        ("train: {output: ''}", "train.output: must be text that is not empty, got ''"),
        ("train: {name: a/b}", "train.name: must be made of letters, digits and _ . + -, and begin with"),
        ("train: {name: ..}", "train.name: must be made of letters, digits and _ . + -, and begin with"),
        (f"train: {{name: {'x' * 101}}}", "train.name: must be text of at most 100 characters, got 'xxx"),
        ('train: {output: "\\ud800"}', "train.output: must be text in Unicode, got '\\ud800'"),
        ("train: {<<: {epochs: 1}}", "train.<<: unknown option of train; known are accumulate, batch_size, "),
        ("Train: {epochs: 1}", "Train: unknown section; did you mean train?"),
        ("foo: 1", "foo: unknown section; known are augment, checkpoint, data, logging, loss, model, "),
        ("1: 2", "1: unknown section; known are"),
        ("_document: 1", "_document: unknown section"),
        ("augment: {shift: true}", "augment.shift: must be a whole number, got true"),
        (
            "augment: {padding: Zeros}",
            "augment.padding: must be zeros, edge or reflect, got 'Zeros'; did you mean zero",
        ),
        ("schedule: {warmup_epochs: -1}", "schedule.warmup_epochs: must be at least 0, got -1"),
        ("schedule: {warmup_epochs: 1e308}", "schedule.warmup_epochs: must be at most 1000000, got 1e+308"),
        ("schedule: {name: step, final: 0}", "schedule.final: unknown option of step; known are every_epochs, "),
        ("schedule: {gamma: 0.1}", "schedule.gamma: unknown option of constant; known are name, warmup_epochs"),
        ("runtime: {device: gpu}", "runtime.device: must be auto, cpu, mps, cuda or cuda:N, got 'gpu'"),
        ("runtime: {device: 'cuda:'}", "runtime.device: must be auto, cpu, mps, cuda or cuda:N, got 'cuda:'"),
        ("runtime: {device: 'cuda:999'}", "runtime.device: must be auto, cpu, mps, cuda or cuda:N, got 'cuda:999'"),
        ("runtime: {device: 'cuda:٣'}", "runtime.device: must be auto, cpu, mps, cuda or cuda:N, got 'cuda:٣'"),
        ("runtime: {device: 0}", "runtime.device: must be text, got 0"),
        ("runtime: {precision: fp64}", "runtime.precision: must be fp32, bf16 or fp16, got 'fp64'; did you mean fp16?"),
        ("runtime: {threads: many}", "runtime.threads: must be a whole number or auto, got 'many'"),
        ("runtime: {threads: 0}", "runtime.threads: must be at least 1 or auto, got 0"),
        ("runtime: {threads: {a: 1}}", "runtime.threads: must be a whole number or auto, got {'a': 1}"),
        ("checkpoint: {every_epochs: 0}", "checkpoint.every_epochs: must be at least 1, got 0"),
        ("loss: {name: {a: 1}}", "loss.name: must be text, got {'a': 1}"),
        ("loss: {name: cross_entropy, label_smoothing: 1}", "loss.label_smoothing: must be below 1, got 1"),
        ("train: {validate_on: test}", "train.report: best would be chosen on the test images"),
        (
            "schedule: {name: plateau}\ntrain: {validate_on: test, report: last}",
            "schedule.name: plateau would lower the learning rate by the test images: train.validate_on is test",
        ),
        (
            "checkpoint: {keep_best: 2}\ntrain: {validate_on: test, report: last}",
            "checkpoint.keep_best: would be chosen on the test images: train.validate_on is test",
        ),
        (
            "train: {validate_on: test, report: last, patience: 3}",
            "train.patience: would end training by the test images: train.validate_on is test",
        ),
    ],
)
def test_one_problem(text: str, problem: str) -> None:
    (line,) = problems(GOOD + text)
    assert line.startswith(f"my.yaml:3: {problem}")


def test_what_all_models_may_have_in_a_config_is_no_option_of_one() -> None:
    with pytest.raises(ConfigError, match=r"^model\.freeze: no option of lenet5 itself"):
        validate_options("model", "lenet5", {"freeze": "features"})


def test_a_network_begins_with_one_kind_of_weights() -> None:
    model = "model: {name: torchvision/resnet18, weights: DEFAULT, init_from: a.pt}\n"
    (line,) = problems("data: {name: mnist}\n" + model)
    assert line == "my.yaml:2: model.weights: cannot go with model.init_from: each says what to begin with"


def test_what_is_missing_is_named_with_what_there_is() -> None:
    assert problems("") == ["my.yaml: data: is needed", "my.yaml: model: is needed"]
    first, second = problems("data: {}\nmodel:\n  padding: 2\n")
    assert first == "my.yaml:1: data.name: is needed: one of csv, image_folder, mnist, npz, shapes, torchvision"
    assert second.startswith("my.yaml:2: model.name: is needed: one of alexnet, ")


def test_a_name_in_place_of_a_section_is_understood_as_a_mistake() -> None:
    (line,) = problems("data: {name: mnist}\nmodel: lenet5\n")
    assert line == "my.yaml:2: model: must be a section, got 'lenet5'; did you mean model: {name: lenet5}?"


def test_file_then_set_then_flag(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(GOOD + "train: {epochs: 1, seed: 1, batch_size: 1}\n")
    config = load_config(path, ["train.epochs=2", "train.seed=2"], {"epochs": 3, "lr": None})
    assert (config.train.epochs, config.train.seed, config.train.batch_size) == (3, 2, 1)
    assert config.train.name == "my"


def test_the_place_of_an_override_is_its_flag(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(GOOD)
    with pytest.raises(ConfigError, match=r"^--set train\.seed: train\.seed: .*\n--batch-size: train\.batch_size: "):
        load_config(path, ["train.seed=-1"], {"batch_size": 0})


def test_an_unknown_name_does_not_hide_the_other_problems() -> None:
    """An option of a thing that is unknown can't be judged; what is common to all of its kind can."""
    text = (
        "data: {name: mnits, sizee: 3,\n  limit: 0}\n"
        "model: {name: lenet, paddin: 3}\n"
        "optimizer: {name: 3, momentun: 0}\n"
        "train: {epochs: 0}\n"
    )
    assert problems(text) == [
        "my.yaml:1: data.name: unknown data set 'mnits'; did you mean mnist?",
        "my.yaml:2: data.limit: must be at least 1, got 0",
        "my.yaml:3: model.name: unknown model 'lenet'; did you mean lenet5 or alexnet or lenet5_1998?",
        "my.yaml:4: optimizer.name: must be text, got 3",
        "my.yaml:5: train.epochs: must be at least 1, got 0",
    ]


@pytest.mark.parametrize(
    ("section", "kinds"),
    [
        ("data: 3\nmodel: true", "got 3|got true"),
        ("data:\nmodel: ~", "got null|got null"),
        ("data: []\nmodel: [a]", "got"),
    ],
)
def test_sections_that_are_none(section: str, kinds: str) -> None:
    lines = problems(section)
    assert [line.partition(", ")[0] for line in lines] == [
        "my.yaml:1: data: must be a section of keys and values",
        "my.yaml:2: model: must be a section of keys and values",
    ]
    for line, kind in zip(lines, kinds.split("|"), strict=False):
        assert kind in line


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("name: npz", "my.yaml:1: data.path: is needed"),
        ("name: npz\n  path: ''", "my.yaml:3: data.path: must be text that is not empty, got ''"),
        ("name: mnist\n  path: x", "my.yaml:3: data.path: unknown option of mnist; known are background, cache, "),
        ("name: shapes\n  size: 8", "my.yaml:3: data.size: must be at least 16, got 8"),
        ("name: mnist\n  mean: 0.5", "my.yaml:3: data.mean: must be a list, got 0.5"),
        ("name: mnist\n  mean: []", "my.yaml:3: data.mean: must be a list of 1 or more, got []"),
        ("name: mnist\n  mean:\n  - 1\n  - x", "my.yaml:5: data.mean.1: must be a number, got 'x'"),
        ("name: mnist\n  std: [0]", "my.yaml:3: data.std.0: must be at least 1e-06, got 0"),
        ("name: mnist\n  validation: 1", "my.yaml:3: data.validation: must be below 1, got 1"),
        (f"name: mnist\n  limit: {10**20}", "my.yaml:3: data.limit: must be at most 1000000000, got 1000000"),
        (
            "name: ''",
            "my.yaml:2: data.name: unknown data set ''; known are csv, image_folder, mnist, npz, shapes, torchvision",
        ),
    ],
)
def test_problems_of_data(data: str, problem: str) -> None:
    (line,) = problems(f"data:\n  {data}\nmodel: {{name: lenet5}}\n")
    assert line.startswith(problem)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("padding: '2'", "model.padding: must be 0 or 2, got '2'"),
        ("padding: null", "model.padding: must be 0 or 2, got null"),
        ("pool: mxa", "model.pool: must be max or avg, got 'mxa'; did you mean max?"),
        ("activation: 3", "model.activation: must be relu or tanh, got 3"),
        ("num_classes: 0", "model.num_classes: must be at least 1, got 0"),
        ("image_size: 4097", "model.image_size: must be at most 4096, got 4097"),
        ("options: {}", "model.options: unknown option of lenet5; known are activation, freeze, "),
        ("self: 1", "model.self: unknown option of lenet5"),
        ("model_config: 1", "model.model_config: unknown option of lenet5"),
    ],
)
def test_problems_of_a_model(options: str, problem: str) -> None:
    (line,) = problems(f"data: {{name: mnist}}\nmodel:\n  name: lenet5\n  {options}\n")
    assert line.startswith(f"my.yaml:4: {problem}")


@pytest.mark.parametrize("kind", REGISTRIES)
def test_every_registered_thing_takes_its_own_options(kind: str) -> None:
    """Those of its signature at their defaults, written as YAML and read again."""
    for name in REGISTRIES[kind].names():
        own = {key: default for key, (_, default) in option_fields(REGISTRIES[kind].get(name)).items()}
        needed = {key: "CIFAR10" if key == "dataset" else "x.npz" for key, default in own.items() if default is ...}
        sections = {"data": {"name": "mnist"}, "model": {"name": "lenet5"}} | {kind: {"name": name, **own, **needed}}
        section: Any = getattr(validate(read(dump(sections), "my.yaml")), kind)
        assert section.name == name
        assert section.options.keys() == own.keys()
        paths = {"root"} & own.keys()  # noted absolute
        assert {key: value for key, value in section.options.items() if key not in {*needed, *paths}} == {
            key: value for key, value in own.items() if key not in {*needed, *paths}
        }
        hidden = {"size"} if name == "shapes" else set()  # which draws at any size, and so need not be scaled
        assert own.keys() & section_class(kind).model_fields.keys() == hidden


@pytest.mark.parametrize(
    ("given", "noted"),
    [("", "data"), (", root: pictures/mine", "pictures/mine"), (", root: ~nobody-here/a", "~nobody-here/a")],
)
def test_a_folder_is_noted_absolute(given: str, noted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a run can be repeated from anywhere; the one that is meant by default, too."""
    monkeypatch.chdir(tmp_path)
    data = f"data: {{name: torchvision, dataset: CIFAR10{given}}}\nmodel: {{name: lenet5}}\n"
    assert validate(read(data, "my.yaml")).data.options["root"] == str(tmp_path / noted)


def test_options_alone_are_checked_as_in_a_config() -> None:
    """As ``cnn summary --set`` does."""
    assert validate_options("model", "tinyvgg", {"hidden": 20})["hidden"] == 20
    with pytest.raises(ConfigError) as refused:
        validate_options("model", "lenet5", {"padding": 1, "paddin": 2, "name": "x"})
    assert sorted(str(refused.value).splitlines())[:2] == [
        "model.name: must be lenet5, got 'x'",
        "model.paddin: unknown option of lenet5; did you mean padding?",
    ]
    with pytest.raises(ConfigError, match=r"^unknown model 'lenet'; did you mean lenet5"):
        validate_options("model", "lenet", {})


@pytest.mark.parametrize(
    ("file", "name"),
    [("my.yaml", "my"), ("my config (2).yaml", "my-config-2-"), (".hidden", "hidden"), ("…", "run"), ("é.yaml", "é")],
)
def test_a_run_is_named_after_its_file_by_a_name_that_is_allowed(file: str, name: str, tmp_path: Path) -> None:
    """Or its config.yaml could be neither resumed nor repeated."""
    path = tmp_path / file
    path.write_text(GOOD)
    config = load_config(path)
    assert config.train.name == name
    path.write_text(dump(config.model_dump()))
    assert load_config(path).train.name == name


def test_a_settled_config_reads_back_the_same() -> None:
    config = validate(
        read(GOOD + "optimizer: {name: adam, lr: 1e-5}\ntrain: {clip_norm: 0.1, name: '010'}\n", "my.yaml")
    )
    assert validate(read(dump(config.model_dump()), "config.yaml")).model_dump() == config.model_dump()
