"""From YAML text to plain data: what YAML 1.2's core schema says, and no more than a config needs."""

import math
import random
from pathlib import Path
from typing import Any

import pytest

from cnncli.config.loading import Document, bundled_names, dump, find, override, read, read_file
from cnncli.config.validation import load_config
from cnncli.errors import ConfigError


def refusal(text: str) -> str:
    """Return the message with which ``text`` is refused."""
    with pytest.raises(ConfigError) as refused:
        read(text, "my.yaml")
    return str(refused.value)


def after(text: str, *assignments: str) -> Document:
    """Return the document after each ``--set``."""
    document = read(text, "my.yaml")
    for assignment in assignments:
        override(document, assignment)
    return document


@pytest.mark.parametrize(
    ("text", "value"),
    [  # by the table of YAML 1.2.2, section 10.3.2, but for 0o and 0x, which no config needs
        ("1e-3", 0.001),
        ("1E5", 100_000.0),
        ("-.5", -0.5),
        ("5.", 5.0),
        ("+1", 1),
        ("010", 10),
        ("-.INF", -math.inf),
        ("~", None),
        ("Null", None),
        ("", None),
        ("TRUE", True),
        ("false", False),
        ("[1, 2.0, x]", [1, 2.0, "x"]),
        ("{x: {y: 1}}", {"x": {"y": 1}}),
        ("!!str 1", "1"),
        ("!!float 3", 3.0),
        ("'1e3'", "1e3"),
        *((word, word) for word in ("no", "on", "yes", "off", "y", "1:30", "2024-01-01", "1_000", "0x1F", "0b1", "=")),
        *((word, word) for word in ("e1", "1e", "1e3x", "tRUE", "nan", "inf", "1.2.3", "--1", "<<")),
    ],
)
def test_scalars_are_those_of_the_core_schema(text: str, value: Any) -> None:
    read_value = read(f"key: {text}", "my.yaml").data["key"]
    assert read_value == value
    assert type(read_value) is type(value)


def test_nan_is_read_as_nan() -> None:
    assert math.isnan(read("key: .NaN", "my.yaml").data["key"])


def test_every_key_knows_its_line() -> None:
    document = read(
        "# a comment\ndata: {name: mnist,\n  limit: 3}\n\nmodel:\n  name:\n    lenet5\nx: [1,\n 2]\n", "my.yaml"
    )
    assert document.places == {
        (): "my.yaml",
        ("data",): "my.yaml:2",
        ("data", "name"): "my.yaml:2",
        ("data", "limit"): "my.yaml:3",
        ("model",): "my.yaml:5",
        ("model", "name"): "my.yaml:6",
        ("x",): "my.yaml:8",
        ("x", 0): "my.yaml:8",
        ("x", 1): "my.yaml:9",
    }
    assert document.place(("model", "padding")) == "my.yaml:5"  # not there: its section
    assert document.place(("train", "epochs")) == "my.yaml"


def test_an_alias_leads_to_where_its_values_stand() -> None:
    document = read("a: &one\n  b: 1\nc: *one\n", "my.yaml")
    assert document.data == {"a": {"b": 1}, "c": {"b": 1}}
    assert document.places["c",] == "my.yaml:3"
    assert document.places["c", "b"] == "my.yaml:2"


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "{}", "null", "---\n...\n"])
def test_nothing_is_an_empty_document(text: str) -> None:
    assert read(text, "my.yaml").data == {}


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_line_endings_and_a_byte_order_mark_do_no_harm(ending: str) -> None:
    document = read(f"\ufeffa: 1{ending}b: 2{ending}", "my.yaml")
    assert document.data == {"a": 1, "b": 2}
    assert document.places["b",] == "my.yaml:2"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "my.yaml:3: a is given twice, first at my.yaml:1"),
        ("a:\n  x: 1\n  y: 2\n  x: 3", "my.yaml:4: a.x is given twice, first at my.yaml:2"),
        ("a: 1\n'a': 3", "my.yaml:2: a is given twice, first at my.yaml:1"),
        ("a: {x: {y: 1},\n x: 2}", "my.yaml:2: a.x is given twice, first at my.yaml:1"),
        ("1: a\n1: b", "my.yaml:2: 1 is given twice, first at my.yaml:1"),
        ("\na: &x [*x]", "my.yaml:2: an alias that contains itself"),
        ("a: 1\nb: &q {c: *q}", "my.yaml:2: an alias that contains itself"),
        ("a: !!python/object:os.system x", "my.yaml:1: the tag tag:yaml.org,2002:python/object:os.system is not"),
        ("!!python/object/apply:os.system ['true']", "my.yaml:1: the tag tag:yaml.org,2002:python/object/apply"),
        ("a:\n  - !mine {b: 1}", "my.yaml:2: the tag !mine is not allowed in a config"),
        ("a: !!binary aGk=", "my.yaml:1: the tag tag:yaml.org,2002:binary is not allowed in a config"),
        ("a: !!set {x}", "my.yaml:1: the tag tag:yaml.org,2002:set is not allowed in a config"),
        ("a: !!int x", "my.yaml:1: 'x' is no int"),
        ("a: !!bool maybe", "my.yaml:1: 'maybe' is no bool"),
        ("a: !!null x", "my.yaml:1: 'x' is no null"),
        (f"\na: {'9' * 5000}", "my.yaml:2: '99999"),  # more digits than Python converts
        ("hello", "my.yaml:1: expected sections such as model: and data:, got 'hello'"),
        ("- a\n- b", "my.yaml:1: expected sections such as model: and data:, got ['a', 'b']"),
        ("3", "my.yaml:1: expected sections such as model: and data:, got 3"),
        ("[1, 2]: 3", "my.yaml:1: a key must be a word"),
        ("a:\n  {b: 1}: 3", "my.yaml:2: a key must be a word"),
        ("'': 3", "my.yaml:1: a key must be a word"),
        ('"a\\nb": 3', "my.yaml:1: a key must be a word"),
        ('a: "\\0"', "my.yaml:1: text with a NUL character, which no file name may have"),
    ],
)
def test_what_is_doubled_or_dangerous_is_refused_with_its_line(text: str, message: str) -> None:
    assert refusal(text).startswith(message)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a:\n\tb: 1", 2, "found character '\\t'"),
        ("a: 1\nb: c: d", 2, "mapping values are not allowed here"),
        ("a: 1\nb: *x", 2, "found undefined alias 'x'"),
        ("a: 1\n---\nb: 2", 2, "but found another document"),
        ("data: {name: mnist\nmodel: lenet5\n", 2, "while parsing a flow mapping (line 1); expected ',' or '}'"),
        ("a: 1\nb: 'never\nclosed\n", 4, "while scanning a quoted scalar (line 2); found unexpected end of stream"),
        ("a: 1\nb: [1, 2", 2, "while parsing a flow sequence; expected ',' or ']'"),
        ("%YAML 9.9\n---\na: 1", 1, "incompatible YAML document"),
        ("a: 1\nb: @x", 2, "found character '@' that cannot start any token"),
        ("a: 1\nb: 2\nc: \x00", 3, "it has no place for '\\x00'"),
        ("a: 1\nb: \x1b[0m", 2, "it has no place for '\\x1b'"),
    ],
)
def test_malformed_yaml_is_one_line_with_the_place(text: str, line: int, words: str) -> None:
    message = refusal(text)
    assert message.startswith(f"my.yaml:{line}: not valid YAML: ")
    assert words in message
    assert "\n" not in message


def test_a_few_aliases_do_not_unfold_into_billions() -> None:
    """Nine layers of nine aliases: 9**9 values in half a kilobyte ('billion laughs')."""
    layers = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    text = "\n".join(["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]", *layers])
    assert len(text) < 1000
    assert refusal(text).endswith("aliases unfold into more than 10,000 values")


@pytest.mark.parametrize("text", ["a: " + "[" * 100_000, "a: " + "[" * 900 + "]" * 900, "{a: " * 5000])
def test_deep_nesting_is_refused(text: str) -> None:
    assert refusal(text) == "my.yaml: nested too deeply"


def test_deep_nesting_by_indentation_is_refused() -> None:
    assert refusal("\n".join(" " * i + "a:" for i in range(1200))) == "my.yaml: nested too deeply"


def file_refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as refused:
        read_file(path)
    return str(refused.value)


def test_files_that_are_no_config_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_bytes("a: é".encode("latin-1"))
    assert file_refusal(path) == f"{path}: not UTF-8 text (byte 3)"
    path.write_bytes("a: 1".encode("utf-16"))
    assert file_refusal(path) == f"{path}: not UTF-8 text (byte 0)"
    assert file_refusal(tmp_path) == f"{tmp_path}: Is a directory"
    assert file_refusal(tmp_path / "none.yaml") == f"{tmp_path / 'none.yaml'}: No such file or directory"


def test_a_megabyte_is_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_bytes(b"a: 1 #" + b"x" * 999_994)
    assert read_file(path).data == {"a": 1}
    for filling in (b"x" * 999_995, "é".encode() * 600_000, b"\xff" * 2_000_000):  # whatever it is cut within
        path.write_bytes(b"a: 1 #" + filling)
        assert file_refusal(path) == f"{path}: larger than 1 MB, which no config is"


@pytest.mark.parametrize(
    ("assignment", "data"),
    [
        ("train.epochs=3", {"train": {"epochs": 3, "name": "x"}, "v": 1}),
        ("train.epochs= 1e-3 ", {"train": {"epochs": 0.001, "name": "x"}, "v": 1}),
        (" train.epochs =3", {"train": {"epochs": 3, "name": "x"}, "v": 1}),
        ("train.epochs=", {"train": {"epochs": None, "name": "x"}, "v": 1}),
        ("train.epochs=null", {"train": {"epochs": None, "name": "x"}, "v": 1}),
        ("train.name=a=b", {"train": {"epochs": 1, "name": "a=b"}, "v": 1}),
        ("train.name='1'", {"train": {"epochs": 1, "name": "1"}, "v": 1}),
        ("train={seed: 1}", {"train": {"seed": 1}, "v": 1}),
        ("train.seed=1", {"train": {"epochs": 1, "name": "x", "seed": 1}, "v": 1}),
        ("data.mean=[0.5, 1]", {"train": {"epochs": 1, "name": "x"}, "v": 1, "data": {"mean": [0.5, 1]}}),
        ("a.b.c=yes", {"train": {"epochs": 1, "name": "x"}, "v": 1, "a": {"b": {"c": "yes"}}}),
        ("v=2", {"train": {"epochs": 1, "name": "x"}, "v": 2}),
    ],
)
def test_set_puts_a_yaml_value_at_a_path(assignment: str, data: dict[str, Any]) -> None:
    assert after("train: {epochs: 1, name: x}\nv: 1", assignment).data == data


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("train.epochs", "--set train.epochs: expected SECTION.KEY=VALUE, such as train.epochs=3"),
        ("", "--set : expected SECTION.KEY=VALUE"),
        ("=3", "--set =3: expected SECTION.KEY=VALUE"),
        ("train.=3", "--set train.=3: expected SECTION.KEY=VALUE"),
        (".epochs=3", "--set .epochs=3: expected SECTION.KEY=VALUE"),
        ("train..epochs=3", "--set train..epochs=3: expected SECTION.KEY=VALUE"),
        ("v.w=3", "--set v.w: v is a value, not a section"),
        ("train.epochs.x=3", "--set train.epochs.x: train.epochs is a value, not a section"),
        ("v=[1", "--set v:1: not valid YAML: while parsing a flow sequence; expected"),
        ("v='x", "--set v:1: not valid YAML: while scanning a quoted scalar"),
        ("v=1\nvalue: 2", "--set v:2: not valid YAML: "),
        ("v={a: 1, a: 2}", "--set v:1: a is given twice"),
        ("v=!!python/name:os.system x", "--set v:1: the tag tag:yaml.org,2002:python/name:os.system is not allowed"),
        ("v=\udcff", "--set v:1: not valid YAML: it has no place for '\\udcff'"),  # how Python reads a stray byte
    ],
)
def test_set_refuses_what_it_cannot_read(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        after("train: {epochs: 1}\nv: 1", assignment)
    assert str(refused.value).startswith(message)


def test_set_is_remembered_as_the_place() -> None:
    document = after("train:\n  epochs: 1\n  seed: 2\n", "train.epochs=3", "data.limit=1", "train.epochs=4")
    assert document.data["train"]["epochs"] == 4  # the last wins
    assert document.place(("train", "epochs")) == "--set train.epochs"
    assert document.place(("train", "seed")) == "my.yaml:3"
    assert document.place(("data", "limit")) == "--set data.limit"
    override(document, "train={seed: 5}")
    assert document.place(("train", "seed")) == "--set train"  # not the line of what is gone


def test_a_flag_wins_over_set_and_set_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("data: {name: mnist}\nmodel: {name: lenet5}\ntrain: {epochs: 1, seed: 1, batch_size: 1}\n")
    config = load_config(path, ["train.epochs=2", "train.seed=2"], {"seed": 3, "epochs": None, "lr": 0.5})
    assert (config.train.batch_size, config.train.epochs, config.train.seed) == (1, 2, 3)
    assert config.optimizer.options["lr"] == 0.5
    with pytest.raises(ConfigError) as refused:
        load_config(path, ["train.epochs=0"], {"batch_size": -1, "lr": math.nan})
    assert str(refused.value).splitlines() == [
        "--set train.epochs: train.epochs: must be at least 1, got 0",
        "--batch-size: train.batch_size: must be at least 1, got -1",
        "--lr: optimizer.lr: must be a finite number, got nan",
    ]


def test_a_config_is_found_by_path_or_by_bundled_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundled = Path(__file__).parents[2] / "configs" / "lenet5.yaml"
    monkeypatch.chdir(tmp_path)
    assert find("lenet5").samefile(bundled)
    assert find("lenet5.yaml").samefile(bundled)
    (tmp_path / "lenet5").mkdir()  # a run directory, say, is no config
    assert find("lenet5").samefile(bundled)
    (tmp_path / "lenet5.yaml").write_text("# mine\n")
    assert find("lenet5.yaml") == Path("lenet5.yaml")
    assert find(str(tmp_path / "lenet5.yaml")) == tmp_path / "lenet5.yaml"


def test_the_bundled_configs_are_those_that_are_promised() -> None:
    named = {"lenet5", "lenet5_1998", "lenet5_valid", "basic_cnn", "tinyvgg", "alexnet_shapes"}
    assert named <= set(bundled_names())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("lenet", "no config file lenet, and no bundled one of that name; did you mean lenet5 or"),
        ("nowhere/lenet5.yaml", "no config file nowhere/lenet5.yaml, and no bundled one of that name; did you mean"),
        ("zzz", f"no config file zzz, and no bundled one of that name; known are {', '.join(bundled_names())}"),
        ("folder", "folder is a folder, not a config file"),
        ("", ". is a folder, not a config file"),
    ],
)
def test_a_config_that_is_not_there(config: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError) as refused:
        find(config)
    assert str(refused.value).startswith(message)


NASTY = [
    *("1e3", "no", "null", "", "~", "0x1", "010", "1:30", "true", "TRUE", ".nan", ".inf", "+1", "1.5", ".5", "1_000"),
    *("a: b", "a #b", "#", "- a", "-", "? a", ":", "[", "{", "&a", "*a", "!a", "%a", "@a", "`a", "|", ">", "<<", "="),
    *(
        "'",
        '"',
        "\\",
        "it's",
        'a "b"',
        " a",
        "a ",
        "\t",
        "x\ny",
        "\n",
        "\n\n",
        "x\n",
        "\r\n",
        "---",
        "...",
        "a\n---\nb",
    ),
    *(
        "é",
        "日本語",
        "\U0001f600",
        "\ufeff",
        "\x85",
        "\u2028",
        "\u2029",
        "\x07",
        "\x7f",
        "\xa0",
        "word " * 60,
        "x" * 500,
    ),
]
NUMBERS = [
    0.001,
    1e16,
    1e-7,
    1e22,
    0.1,
    1 / 3,
    5e-324,
    1.7976931348623157e308,
    -0.0,
    math.inf,
    -math.inf,
    10**20,
    0,
    -1,
]


def random_texts(count: int) -> list[str]:
    """Return texts of up to eight characters that mean something in YAML."""
    source = random.Random(0)
    alphabet = " \t\n\r:#-'\"{}[],&*!|>%@`?0123456789.eExno+~=\\<é\x85\u2028\u2029\x07\ufeff\U0001f600"
    return ["".join(source.choices(alphabet, k=source.randint(0, 8))) for _ in range(count)]


def test_what_is_dumped_is_read_the_same() -> None:
    values = [*NASTY, *random_texts(2000), *NUMBERS, None, True, False, [], [1, 2.5, "x"], {"a": None}, {}]
    data = {f"key{i}": value for i, value in enumerate(values)} | {"all": values}
    again = read(dump(data), "my.yaml").data
    for key, value in data.items():
        assert repr(again[key]) == repr(value)  # so that 1 is not 1.0, and -0.0 not 0.0


def test_keys_are_dumped_as_they_are_read() -> None:
    data = {text: 1 for text in NASTY if text and text.isprintable()}
    assert read(dump(data), "my.yaml").data == data


def test_what_is_dumped_is_pleasant_to_read() -> None:
    data = {"data": {"name": "mnist", "mean": [0.1307], "limit": None}, "train": {"lr": 1e-3, "flip": False, "é": "é"}}
    assert dump(data) == (
        "data:\n  name: mnist\n  mean: [0.1307]\n  limit: null\ntrain: {lr: 0.001, flip: false, é: é}\n"
    )


@pytest.mark.parametrize("text", ["a: [" + "1," * 100_000 + "]", "\n".join(f"k{i}: 1" for i in range(10_000))])
def test_more_values_than_any_config_has_are_not_read_to_the_end(text: str) -> None:
    assert refusal(text).endswith("more than 10,000 values, which no config has")


def test_a_tag_forges_no_line_of_a_message() -> None:
    assert refusal("a: !x%0aerror:%1b[2J b") == r"my.yaml:1: the tag !x\nerror:\x1b[2J is not allowed in a config"
