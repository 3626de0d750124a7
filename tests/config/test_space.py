"""What --param means."""

import pytest

from cnncli.config.space import Choices, Parameter, Range, parse_space
from cnncli.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "parameter", "ends"),
    [
        ("optimizer.lr=log:1e-3..1e-1", Range("optimizer.lr", 0.001, 0.1, log=True), ("0.001", "0.1")),
        ("train.batch_size=log:16..512", Range("train.batch_size", 16, 512, log=True), ("16", "512")),
        ("augment.shift=0..4", Range("augment.shift", 0, 4, log=False), ("0", "4")),
        ("augment.rotate=0..0.5", Range("augment.rotate", 0.0, 0.5, log=False), ("0.0", "0.5")),
        ("a.b=-1..+2", Range("a.b", -1, 2, log=False), ("-1", "2")),
        ("train.batch_size=32,64,128", Choices("train.batch_size", ("32", "64", "128")), ("32", "64", "128")),
        ("augment.flip = true, false", Choices("augment.flip", ("true", "false")), ("true", "false")),
        ("data.root=../one,../two", Choices("data.root", ("../one", "../two")), ("../one", "../two")),
    ],
)
def test_a_parameter_is_parsed(text: str, parameter: Parameter, ends: tuple[str, ...]) -> None:
    (parsed,) = parse_space([text])
    assert parsed == parameter
    assert parsed.ends == ends
    assert isinstance(parsed, Choices) or type(parsed.low) is type(parsed.high)
    assert parse_space([str(parsed)]) == [parsed]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "say what to search: --param KEY=RANGE, such as optimizer.lr=log:1e-3..1e-1"),
        (["optimizer.lr"], "--param optimizer.lr: expected KEY=RANGE, such as"),
        (["=0..1"], "--param =0..1: expected KEY=RANGE, such as"),
        (["optimizer.lr="], "expected KEY=RANGE, such as"),
        (["optimizer.lr=0.1"], "expected a range or several values, such as"),
        (["optimizer.lr=0...5"], "expected a range or several values, such as"),
        (["optimizer.lr=log:0.1,0.2"], "expected a range or several values, such as"),
        (["augment.shift=1,,2"], "expected a range or several values, such as"),
        (["augment.shift=1,1"], "--param augment.shift=1,1: names a value twice"),
        (["augment.shift=4..0"], "from 4 to 0 is no range: the smaller one comes first"),
        (["augment.shift=4..4"], "from 4 to 4 is no range"),
        (["optimizer.lr=log:0..1"], "a logarithmic range begins above 0"),
        (["augment.shift=0..1", "augment.shift=2,3"], "--param augment.shift=2,3: augment.shift is asked for twice"),
    ],
)
def test_a_malformed_one_is_refused_with_an_example(texts: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_space(texts)
    assert message in str(refused.value)
