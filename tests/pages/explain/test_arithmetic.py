"""The page's arithmetic, in the browser that runs it, against PyTorch's functions in double precision."""

import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from cnncli.analysis.operations import Operation, apply
from cnncli.models.lenet5_1998 import RBF, Subsampling
from cnncli.pages.explain.bundle import bundle

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Run = Callable[..., Any]
HEIGHT, WIDTH = 9, 7
ROUNDING = 2**-24  # of a number to float32, relative to it

# kernel, stride, padding, dilation; each along height and width
GEOMETRIES = [
    ([3, 3], [1, 1], [0, 0], [1, 1]),
    ([3, 3], [1, 1], [1, 1], [1, 1]),
    ([5, 5], [2, 2], [2, 2], [1, 1]),
    ([2, 2], [2, 2], [0, 0], [1, 1]),
    ([3, 2], [2, 3], [1, 0], [1, 1]),
    ([1, 7], [1, 1], [0, 3], [1, 1]),
    ([2, 3], [1, 2], [0, 2], [3, 2]),
    ([1, 1], [3, 3], [0, 0], [1, 1]),
    ([9, 7], [1, 1], [0, 0], [1, 1]),
]
POOLS = [geometry for geometry in GEOMETRIES if all(p <= k / 2 for k, p in zip(geometry[0], geometry[2], strict=True))]


@pytest.fixture(scope="module")
def run(chromium: "Browser") -> Iterator[Run]:
    """Return a function that calls one of the page's with plain arguments, lists of numbers as Float32Array."""
    page = chromium.new_page()
    exported = "ACTIVATIONS, adaptiveAverage, adaptiveMax, averagePool, batchNorm, correlate, crossEntropy, dense"
    exported += ", localResponse, maxPool, outputSide, pad, radial, softmax, subsample, windowAt"
    page.set_content(
        f"<script type=module>{bundle(['arithmetic.js'])}Object.assign(window, {{ {exported} }});</script>"
    )
    script = """([name, args]) => {
        const given = args.map((arg) => (arg?.numbers ? Float32Array.from(arg.numbers) : arg));
        const result = name.split(".").reduce((found, key) => found[key], window)(...given);
        return result instanceof Float32Array ? Array.from(result) : result;
    }"""
    yield lambda name, *args: page.evaluate(script, [name, [_plain(arg) for arg in args]])
    page.close()


def _plain(value: Any) -> Any:
    return {"numbers": value.flatten().tolist()} if isinstance(value, Tensor) else value


def draw(*shape: int) -> Tensor:
    """Draw numbers that float32 can hold, as doubles."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).double()


def geometry_of(kernel: list[int], stride: list[int], padding: list[int], dilation: list[int]) -> dict[str, list[int]]:
    return {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}


def assert_rounded_once(result: list[float], expected: Tensor) -> None:
    numbers = torch.tensor(result, dtype=torch.float64)
    torch.testing.assert_close(numbers, expected.flatten(), rtol=ROUNDING, atol=1e-12)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_correlate_is_a_convolution_of_one_channel(geometry: Any, run: Run) -> None:
    kernel, stride, padding, dilation = geometry
    map, weight = draw(HEIGHT, WIDTH), draw(*kernel)
    expected = F.conv2d(map[None, None], weight[None, None], None, stride, padding, dilation)
    assert_rounded_once(run("correlate", map, HEIGHT, WIDTH, weight, geometry_of(*geometry)), expected)


@pytest.mark.parametrize("geometry", POOLS)
@pytest.mark.parametrize("ceil", [False, True])
def test_max_pooling_is_torchs_to_the_bit(geometry: Any, ceil: bool, run: Run) -> None:
    map = draw(HEIGHT, WIDTH)
    expected = F.max_pool2d(map[None], *geometry, ceil_mode=ceil)
    assert run("maxPool", map, HEIGHT, WIDTH, geometry_of(*geometry), ceil) == expected.flatten().tolist()


@pytest.mark.parametrize("geometry", [geometry for geometry in POOLS if geometry[3] == [1, 1]])
@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("count", [False, True])
@pytest.mark.parametrize("divisor", [None, 5])
def test_average_pooling_is_torchs(geometry: Any, ceil: bool, count: bool, divisor: int | None, run: Run) -> None:
    map = draw(HEIGHT, WIDTH)
    expected = F.avg_pool2d(map[None], *geometry[:3], ceil, count, divisor)
    options = {"ceil": ceil, "count_include_pad": count, "divisor": divisor}
    assert_rounded_once(run("averagePool", map, HEIGHT, WIDTH, geometry_of(*geometry), options), expected)


@pytest.mark.parametrize("size", [[1, 1], [3, 2], [9, 7], [12, 10], [None, 2]])
def test_adaptive_pooling_is_torchs(size: list[int | None], run: Run) -> None:
    map = draw(HEIGHT, WIDTH)
    assert_rounded_once(run("adaptiveAverage", map, HEIGHT, WIDTH, size), F.adaptive_avg_pool2d(map[None], size))
    expected = F.adaptive_max_pool2d(map[None], size)
    assert run("adaptiveMax", map, HEIGHT, WIDTH, size) == expected.flatten().tolist()


@pytest.mark.parametrize("size", range(8, 14))
@pytest.mark.parametrize("ceil", [False, True])
def test_as_many_windows_fit_as_torch_finds(size: int, ceil: bool, run: Run) -> None:
    for kernel, stride, padding, dilation in itertools.product((1, 2, 3), (1, 2, 3), (0, 1), (1, 2)):
        if padding > kernel / 2:
            continue
        expected = F.max_pool2d(torch.zeros(1, size, size), kernel, stride, padding, dilation, ceil).shape[-1]
        geometry = geometry_of(*([value] * 2 for value in (kernel, stride, padding, dilation)))
        assert run("outputSide", size, geometry, 1, ceil) == expected


@pytest.mark.parametrize("padding", [[1, 1, 1, 1], [0, 2, 3, 1], [-1, 2, 0, -2]])
def test_padding_is_torchs(padding: list[int], run: Run) -> None:
    map = draw(HEIGHT, WIDTH)
    assert run("pad", map, HEIGHT, WIDTH, padding, -0.5) == F.pad(map, padding, value=-0.5).flatten().tolist()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("relu", {}),
        ("relu6", {}),
        ("leaky_relu", {"slope": 0.2}),
        ("elu", {"alpha": 1.5}),
        ("tanh", {}),
        ("scaled_tanh", {}),
        ("sigmoid", {}),
        ("hardsigmoid", {}),
        ("hardswish", {}),
        ("silu", {}),
        ("gelu", {"approximate": "none"}),
        ("gelu", {"approximate": "tanh"}),
    ],
)
def test_an_activation_is_torchs(name: str, options: dict[str, Any], run: Run) -> None:
    values = torch.linspace(-8, 8, 33, dtype=torch.float64)
    expected = apply(Operation("activation", {"function": name, **options}), [values])
    result = [run(f"ACTIVATIONS.{name}.apply", value, options) for value in values.tolist()]
    torch.testing.assert_close(torch.tensor(result, dtype=torch.float64), expected, rtol=1e-9, atol=1e-12)


def test_batch_normalisation_is_torchs(run: Run) -> None:
    values = draw(1, 4, 3)
    numbers = {name: draw(4).abs() + 0.1 for name in ("mean", "variance", "weight", "bias")}
    expected = F.batch_norm(values, *numbers.values(), eps=1e-3)[0]
    for channel, place in itertools.product(range(4), range(3)):
        of_channel = {name: number[channel].item() for name, number in numbers.items()} | {"eps": 1e-3}
        result = run("batchNorm", values[0, channel, place].item(), of_channel)
        assert result == pytest.approx(expected[channel, place].item(), rel=1e-12)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_local_response_normalisation_is_torchs(size: int, run: Run) -> None:
    values = draw(7)
    expected = F.local_response_norm(values[None, :, None], size, alpha=0.3, beta=0.75, k=2.0).flatten()
    options = {"size": size, "alpha": 0.3, "beta": 0.75, "k": 2.0}
    result = [run("localResponse", values, channel, options) for channel in range(7)]
    assert result == pytest.approx(expected.tolist(), rel=1e-12)
    others = sum(values[max(0, 3 - size // 2) : 3 + (size + 1) // 2].square()) - values[3].square()
    alone = run("localResponse", values[3:4], 0, options, float(others))  # the rest of the sum is given
    assert alone == pytest.approx(expected[3].item(), rel=1e-12)


def test_subsampling_is_that_of_lenet5_of_1998(run: Run) -> None:
    layer, maps = Subsampling(1).double(), draw(1, 1, 8, 6)
    expected = layer(maps).detach()
    assert_rounded_once(run("subsample", maps, 8, 6, layer.weight.item(), layer.bias.item()), expected)


def test_dense_and_radial_units_are_torchs(run: Run) -> None:
    values, weights, bias = draw(20), draw(5, 20), draw(5)
    assert_rounded_once(run("dense", values, weights, bias), F.linear(values, weights, bias))
    assert_rounded_once(run("radial", values, weights), RBF(weights)(values[None])[0].detach())


@pytest.mark.parametrize("scale", [1, 1e4])
def test_probabilities_and_loss_are_torchs(scale: float, run: Run) -> None:
    logits = (draw(12) * scale).float().double()
    assert_rounded_once(run("softmax", logits), logits.softmax(0))
    loss = F.cross_entropy(logits, torch.tensor(3)).item()
    assert run("crossEntropy", logits, 3) == pytest.approx(loss, rel=1e-12)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_a_window_holds_what_unfold_takes(geometry: Any, run: Run) -> None:
    kernel, stride, padding, dilation = geometry
    map = draw(HEIGHT, WIDTH)
    columns = F.unfold(map[None, None], kernel, dilation, padding, stride)[0]
    width = F.conv2d(map[None, None], map.new_zeros(1, 1, *kernel), None, stride, padding, dilation).shape[-1]
    for place in range(columns.shape[1]):
        window = run("windowAt", map, HEIGHT, WIDTH, geometry_of(*geometry), place // width, place % width)
        assert [value or 0 for value in window["values"]] == columns[:, place].tolist()
        outside = [
            row not in range(HEIGHT) or column not in range(WIDTH)
            for row in window["rows"]
            for column in window["columns"]
        ]
        assert [value is None for value in window["values"]] == outside
