"""Models of others: recognised by their tensors, run in their own units, or refused in one line."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from filmcolor.errors import SettingsError, WeightsError
from filmcolor.network.onnx_file import read_outline
from filmcolor.network.onnx_model import OnnxColorizer
from filmcolor.network.onnx_session import OnnxSession
from filmcolor.types.frames import FloatPlane, Gray

pytest.importorskip("onnx")
import onnx_models
from onnx_models import Graph, Tiny

needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="not installed")
needs_onnxruntime = pytest.mark.skipif(find_spec("onnxruntime") is None, reason="not installed")

LUMAS = np.array([[40, 90], [150, 230]], np.uint8)  # of the quarters of a picture
WIDTH, HEIGHT = 160, 96
SQUARE_256, SQUARE_512 = (256, 256), (512, 512)
# CIELAB units: float32; with float16 values of luma and ab up to 128 are 1/16 apart, and with
# 8 bits weights are half a step of 1/127 off
CLOSE = {"float": 0.01, "float16": 0.2, "int8": 0.5}

ZHANG, DDCOLOR, DEOLDIFY = (Tiny(kind) for kind in ("zhang", "ddcolor", "deoldify"))
HINTS = (("hint_ab", 2), ("hint_mask", 1))


@dataclass(frozen=True)
class Row:
    """A model, and what it must be recognised as."""

    tiny: Tiny
    input_size: tuple[int, int]  # (width, height) for the test's picture
    range: str = ""


def ddcolor(input_size: tuple[int, int], **fields: object) -> Row:
    return Row(replace(DDCOLOR, **fields), input_size, "0..1")


def deoldify(input_size: tuple[int, int], values: str = "0..255", **fields: object) -> Row:
    return Row(replace(DEOLDIFY, **fields), input_size, values)


def zhang(input_size: tuple[int, int], **fields: object) -> Row:
    return Row(replace(ZHANG, **fields), input_size, "0..100")


WIDE_512, WIDE_256 = (864, 512), (416, 256)  # short side 512 or 256, sides multiples of 32
ROWS = {
    "DDColor official export": ddcolor(SQUARE_512, size=SQUARE_512),
    "FaceFusion ddcolor": ddcolor(WIDE_512),
    "VisoMaster ddcolor": ddcolor((384, 384), size=(384, 384)),
    "instant-high ddcolor tiny": ddcolor(SQUARE_256, size=SQUARE_256),
    "edgetools ddcolor-tiny-fp16": ddcolor(SQUARE_512, size=SQUARE_512, weights="float16"),
    "toolsmonk ddcolor_tiny_512_int8": ddcolor(
        SQUARE_512, size=SQUARE_512, opset=17, weights="int8"
    ),
    "RonngZ ddcolor-tiny-256-fp16": ddcolor(SQUARE_256, size=SQUARE_256, dtype=np.float16),
    "Qualcomm DDColor": ddcolor(SQUARE_256, size=SQUARE_256, input="image", is_external=True),
    "Qualcomm DDColor 224": ddcolor((224, 224), size=(224, 224), input="image", is_external=True),
    "Makistos ddcolor": ddcolor(WIDE_512, input="gray", output="ab", opset=18),
    "instant-high ColorizeArtistic_dyn": deoldify(SQUARE_256),
    "instant-high DeoldifyVideo_dyn_fp16": deoldify(SQUARE_256, dtype=np.float16),
    "old deoldify": deoldify(SQUARE_256, size=SQUARE_256, output="out"),
    "deoldify-art": deoldify(SQUARE_256, size=SQUARE_256),
    "deoldify-quant": deoldify(SQUARE_256, size=SQUARE_256, output="out", weights="int8"),
    "VisoMaster ColorizeVideo.fp16": deoldify(SQUARE_256, weights="float16"),
    "Makistos deoldify": deoldify(
        SQUARE_256, "0..1", input="gray", output="rgb", opset=18, white=1.0
    ),
    "instant-high colorizer_eccv16": zhang(WIDE_256, opset=11),
    "instant-high colorizer_siggraph17_fp16": zhang(WIDE_256, opset=11, dtype=np.float16),
    "clibdev colorization-siggraph-17": zhang(SQUARE_256, size=SQUARE_256, opset=18),
    "ailia colorizer": zhang(
        SQUARE_256,
        size=SQUARE_256,
        input="input.1",
        output="148",
        opset=10,
        has_listed_weights=True,
    ),
    "Makistos zhang_eccv16": zhang(SQUARE_256, size=SQUARE_256, input="L", output="ab", opset=18),
    "Makistos zhang_siggraph17": zhang(
        SQUARE_256, size=SQUARE_256, input="L", output="ab", opset=18, hints=HINTS
    ),
    # what exporters may do, besides
    "hints of any size": zhang(WIDE_256, hints=HINTS),
    "hints of another size": zhang(WIDE_256, hints=HINTS, hint_size=(64, 64)),
    "any batch": ddcolor(WIDE_512, batch="batch"),
    "no batch": ddcolor(SQUARE_256, size=SQUARE_256, batch=0),
    "wide": deoldify((320, 192), size=(192, 320)),
    "output of unknown channels": ddcolor(WIDE_512, output_shape=(1, "c", "h", "w")),
    "squares of 256 only, unstated": ddcolor(SQUARE_256, only=SQUARE_256),
    "squares of 512 only, unstated": ddcolor(SQUARE_512, only=SQUARE_512),
}


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Writes a tiny model, by default to model.onnx."""

    def write(tiny: Tiny, name: str = "model.onnx", toml: str = "") -> Path:
        path = onnx_models.save(tiny, tmp_path / name)
        if toml:
            path.with_suffix(".toml").write_text(toml)
        return path

    return write


def picture() -> Gray:
    """A picture of four quarters, each of one luma."""
    return np.kron(LUMAS, np.ones((HEIGHT // 2, WIDTH // 2), np.uint8))


def quarters(ab: FloatPlane) -> FloatPlane:
    """Return ab (2, 2, 2) in the middle of each quarter of a picture."""
    height, width = ab.shape[:2]
    return ab[height // 4 :: height // 2, width // 4 :: width // 2]


def load(path: Path) -> OnnxColorizer:
    return OnnxColorizer.load(path, device="cpu", num_threads=1)


def is_right(model: OnnxColorizer, kind: str, tolerance: float = CLOSE["float"]) -> bool:
    """Return whether a tiny model's colours are those that it was made for."""
    wanted = onnx_models.expected_ab(kind, LUMAS / 255.0)
    return bool(np.abs(quarters(model.predict(picture())) - wanted).max() < tolerance)


def refusal(act: Callable[[], object]) -> str:
    """Return the message of an error, which must be one line."""
    with pytest.raises(WeightsError) as caught:
        act()
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", ROWS)
def test_every_model_is_recognised_and_gives_its_colours(
    name: str, make: Callable[..., Path]
) -> None:
    row = ROWS[name]
    model = load(make(row.tiny))
    assert (model.kind, model.settings["range"]) == (row.tiny.kind, row.range)
    assert model.input_size(WIDTH, HEIGHT) == row.input_size
    ab = model.predict(picture())
    assert ab.shape == (*row.input_size[::-1], 2) and ab.dtype == np.float32
    is_half = row.tiny.dtype == np.float16
    assert is_right(model, row.tiny.kind, CLOSE["float16" if is_half else row.tiny.weights])


@needs_openvino
def test_an_openvino_ir_is_run(make: Callable[..., Path], tmp_path: Path) -> None:
    tiny = replace(
        ZHANG,
        size=SQUARE_256,
        input="data_l",
        output="color_ab",
        hints=(("user_ab", 2), ("user_map", 1)),
    )
    path = make(tiny)
    OnnxSession.open(path)  # imports OpenVINO without its telemetry
    import openvino

    ir = tmp_path / "colorization-siggraph.xml"
    openvino.save_model(openvino.Core().read_model(path), ir, compress_to_fp16=False)
    model = load(ir)
    assert model.kind == "zhang" and is_right(model, "zhang")
    ir.with_suffix(".bin").unlink()
    assert "needs colorization-siggraph.bin" in refusal(lambda: load(ir))


@needs_openvino
@needs_onnxruntime
@pytest.mark.parametrize("name", ["FaceFusion ddcolor", "Makistos zhang_siggraph17"])
def test_both_runtimes_agree(name: str, make: Callable[..., Path]) -> None:
    path = make(ROWS[name].tiny)
    session = OnnxSession.open(path, device="cpu", runtime="openvino")
    other = OnnxSession.open(path, device="cpu", runtime="onnxruntime")
    assert (session.inputs, session.outputs) == (other.inputs, other.outputs)
    rng = np.random.default_rng(0)
    feeds = {
        tensor.name: rng.random([256 if s is None else s for s in tensor.shape], np.float32)
        for tensor in session.inputs
    }
    for name, values in session.run(feeds).items():
        np.testing.assert_allclose(values, other.run(feeds, [name])[name], rtol=1e-5, atol=1e-5)


# values that models may take, stated


def test_a_stated_range_is_used(make: Callable[..., Path]) -> None:
    # Caffe's release takes L less 50: a tiny model for that gives the same colours if fed so
    def subtract(graph: Graph) -> None:
        graph.nodes[0].input[0] = graph.add("Add", "input", graph.constant(50.0))
        graph.nodes.insert(0, graph.nodes.pop())

    caffe = replace(ZHANG, size=(224, 224), extra=subtract)
    assert "-50..50" in refusal(lambda: load(make(caffe)))
    assert is_right(load(make(caffe, toml='range = "-50..50"')), "zhang")
    stated = replace(caffe, metadata={"filmcolor.range": "-50..50"})
    assert is_right(load(make(stated, "stated.onnx")), "zhang")


def test_the_file_beside_a_model_wins_over_its_metadata(make: Callable[..., Path]) -> None:
    tiny = replace(DEOLDIFY, metadata={"filmcolor.range": "0..1", "author": "somebody"})
    assert not is_right(load(make(tiny)), "deoldify")
    model = load(make(tiny, toml='kind = "deoldify"\nrange = "0..255"\nsize = 320'))
    assert is_right(model, "deoldify") and model.input_size(WIDTH, HEIGHT) == (320, 320)


def test_a_stated_kind_chooses_the_output(make: Callable[..., Path]) -> None:
    def add_picture(graph: Graph) -> None:
        graph.outputs.append(graph.tensor(graph.add("Identity", "input"), (1, 3, "h", "w")))

    path = make(replace(DDCOLOR, extra=add_picture))
    assert "more than one of its outputs" in refusal(lambda: load(path))
    assert is_right(
        load(make(replace(DDCOLOR, extra=add_picture), toml='kind = "ddcolor"')), "ddcolor"
    )


@pytest.mark.parametrize(
    ("toml", "size"), [("size = 192", (320, 192)), ('size = "128x224"', (128, 224))]
)
def test_a_stated_size_is_used(toml: str, size: tuple[int, int], make: Callable[..., Path]) -> None:
    model = load(make(DDCOLOR, toml=toml))
    assert model.input_size(WIDTH, HEIGHT) == size and is_right(model, "ddcolor")


@pytest.mark.parametrize(
    ("toml", "pattern"),
    [
        ('name = "x"', "states 'name'; the keys are kind, range, size, precision"),
        ('kind = "pix2pix"', "kind 'pix2pix' must be zhang, ddcolor, deoldify"),
        ('range = "255..0"', "range '255..0' must be the values of black and white"),
        ("size = 7", "size 7 must be a short side of 32 to 4096"),
        ('precision = "int4"', "precision 'int4' must be float32 or bfloat16"),
        ("kind = ", "model.toml is no TOML"),
        ('kind = "zhang"', "zhang takes 1 channels"),
        ("size = 320", "takes 256×256 pixels only"),
    ],
)
def test_a_statement_without_a_meaning_is_refused(
    toml: str, pattern: str, make: Callable[..., Path]
) -> None:
    path = make(replace(DDCOLOR, size=SQUARE_256), toml=toml)
    assert pattern in refusal(lambda: load(path))


def test_unknown_metadata_of_ours_is_refused(make: Callable[..., Path]) -> None:
    path = make(replace(DDCOLOR, metadata={"filmcolor.colour": "red"}))
    assert "the metadata of" in refusal(lambda: load(path))


# what is no colorizer


def shaped(inputs: tuple[int | str, ...], num_outputs: int) -> Callable[[Path], None]:
    """Return a function that writes a model of a shape: a mean of channels, repeated."""

    def write(path: Path) -> None:
        graph = Graph(Tiny("ddcolor"))
        graph.inputs.append(graph.tensor("input", inputs))
        mean = graph.add("ReduceMean", "input", axes=[1], keepdims=1)
        graph.add("Concat", *[mean] * num_outputs, output="output", axis=1)
        graph.outputs.append(graph.tensor("output", (1, num_outputs, "h", "w")))
        onnx_models.write(graph, path)

    return write


def saved(tiny: Tiny, change: Callable[[bytes], bytes] = bytes) -> Callable[[Path], None]:
    """Return a function that writes a model whose file is changed."""

    def write(path: Path) -> None:
        onnx_models.save(tiny, path)
        path.write_bytes(change(path.read_bytes()))

    return write


def without_external_data(path: Path) -> None:
    onnx_models.save(replace(DDCOLOR, is_external=True), path)
    path.with_suffix(".data").unlink()


def with_operator(name: str) -> Callable[[Path], None]:
    def add(graph: Graph) -> None:
        graph.nodes[-1].op_type = name

    return saved(replace(DDCOLOR, extra=add))


def checkpoint(path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, path)


def integers(path: Path) -> None:
    graph = Graph(Tiny("ddcolor"))
    graph.inputs.append(graph.tensor("input", (1, 3, 64, 64), np.uint8))
    graph.add("Identity", "input", output="output")
    graph.outputs.append(graph.tensor("output", (1, 3, 64, 64), np.uint8))
    onnx_models.write(graph, path)


MALFORMED: dict[str, tuple[Callable[[Path], object], str]] = {
    "5 channels, as of manga": (shaped((1, 5, "h", "w"), 3), r"input float32 \[1, 5, \?, \?\]"),
    "1 to 3 channels": (shaped((1, 1, "h", "w"), 3), "1 channels in, 3 out"),
    "313 channels, as of Caffe": (shaped((1, 1, 256, 256), 313), "none of its outputs"),
    "a batch of 4": (shaped((4, 3, 64, 64), 2), "its first input must be"),
    "a picture of rows first": (shaped((1, 64, 64, 3), 2), r"\[1, 64, 64, 3\]"),
    "integers": (integers, "uint8"),
    "cut off": (saved(DDCOLOR, lambda data: data[:-20]), "broken or cut off"),
    "bytes": (lambda path: path.write_bytes(bytes(range(7, 200))), "no ONNX model"),
    "empty": (lambda path: path.touch(), "is empty"),
    "web page": (lambda path: path.write_text("\n<!DOCTYPE html>"), "is a web page"),
    "Git LFS": (
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"),
        "git lfs pull",
    ),
    "missing": (lambda path: None, "no model"),
    "folder": (lambda path: path.mkdir(), "is a folder"),
    "no external data": (without_external_data, "needs model.data beside it"),
    "unknown operator": (with_operator("Teleport"), "cannot be opened: .*Teleport"),
    "checkpoint": (checkpoint, "PyTorch checkpoint.*scripts/export_onnx.py"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_other_files_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    write, pattern = MALFORMED[name]
    path = tmp_path / "model.onnx"
    write(path)
    message = refusal(lambda: load(path))
    assert str(path) in message
    with pytest.raises(WeightsError, match=pattern):
        load(path)


@pytest.mark.parametrize(
    ("suffix", "remedy"),
    [(".pth", "export"), (".caffemodel", "ONNX export"), (".safetensors", "export")],
)
def test_other_formats_are_refused_with_the_way_to_export(
    suffix: str, remedy: str, tmp_path: Path
) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"anything")
    assert remedy in refusal(lambda: load(path))


def test_a_pickle_is_not_loaded(tmp_path: Path) -> None:
    path, trace = tmp_path / "model.pth", tmp_path / "trace"
    path.write_bytes(f"cos\nmkdir\n(S'{trace}'\ntR.".encode())
    refusal(lambda: load(path))
    assert not trace.exists()


def test_a_model_that_gives_back_no_picture_is_refused(make: Callable[..., Path]) -> None:
    # white is 10: neither range
    path = make(replace(DEOLDIFY, white=10.0))
    assert "neither of 0..255 nor of 0..1" in refusal(lambda: load(path))


def appended(operator: str, operand: float) -> Callable[[Graph], None]:
    """Return a change of a graph: its output, and a number."""

    def change(graph: Graph) -> None:
        last = graph.nodes.pop()
        value = graph.add(operator, last.input[0], graph.constant(operand))
        graph.add("Identity", value, output="output")

    return change


@pytest.mark.parametrize(
    ("operator", "operand", "pattern"),
    [
        ("Add", float("nan"), "values that are not numbers"),
        ("Div", 0.0, "values that are not numbers"),
        ("Add", 300.0, "a or b of 3[0-9][0-9]"),
    ],
)
def test_an_answer_without_colours_names_the_model(
    operator: str, operand: float, pattern: str, make: Callable[..., Path]
) -> None:
    path = make(replace(DDCOLOR, extra=appended(operator, operand)))
    with pytest.raises(WeightsError, match=rf"model\.onnx gives .*{pattern}"):
        load(path).predict(picture())


# what runs need to know about a model


def test_the_checksum_is_that_of_all_files(make: Callable[..., Path]) -> None:
    path = make(replace(DDCOLOR, size=SQUARE_256))
    assert load(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    path = make(replace(DDCOLOR, is_external=True), "large.onnx")
    before = load(path).sha256
    data = path.with_suffix(".data")
    content = bytearray(data.read_bytes())
    content[0] ^= 1  # the least bit of a weight
    data.write_bytes(content)
    assert read_outline(path).parts == (path, data) and load(path).sha256 != before


def test_the_settings_have_all_that_decides_colours(make: Callable[..., Path]) -> None:
    model = load(make(DDCOLOR))
    other = load(make(DDCOLOR, "other.onnx", toml="size = 320"))
    assert {k for k in model.settings if model.settings[k] != other.settings[k]} == {"size"}
    assert model.settings["runtime"] in model.description and "\n" not in model.description


def test_the_time_of_a_picture_is_measured_once(make: Callable[..., Path]) -> None:
    model = load(make(replace(DDCOLOR, size=SQUARE_256)))
    seconds = model.seconds()
    assert 0.0 < seconds < 10.0 and model.seconds() == seconds


def test_a_session_returns_the_outputs_that_are_asked_for(make: Callable[..., Path]) -> None:
    def add_output(graph: Graph) -> None:
        graph.outputs.append(
            graph.tensor(graph.add("Neg", "input", output="negative"), (1, 3, 64, 64))
        )

    tiny = replace(DDCOLOR, size=(64, 64), extra=add_output, metadata={"a": "b"})
    session = OnnxSession.open(make(tiny), device="cpu")
    ones = np.ones((1, 3, 64, 64), np.float32)
    assert session.metadata == {"a": "b"} and list(session.run({"input": ones})) == [
        "output",
        "negative",
    ]
    results = session.run({"input": ones}, ["negative"])
    assert list(results) == ["negative"] and (results["negative"] == -1.0).all()


# manners


def test_threads_share_a_model_and_their_number_changes_no_bit(make: Callable[..., Path]) -> None:
    path = make(DDCOLOR)
    model = load(path)
    gray = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    pictures = [gray, gray.T, gray[::-1], gray[:, ::-1]]
    wanted = [model.predict(p) for p in pictures]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(model.predict, pictures))
    alone = OnnxColorizer.load(path, "cpu", num_threads=2)
    for picture_, answer, right in zip(pictures, answers, wanted):
        np.testing.assert_array_equal(answer, right)
        np.testing.assert_array_equal(alone.predict(picture_), right)


def test_the_host_keeps_its_settings(make: Callable[..., Path]) -> None:
    def settings() -> list[object]:
        cores = os.sched_getaffinity(0) if sys.platform == "linux" else None
        return [torch.get_num_threads(), cv2.getNumThreads(), cores, dict(os.environ)]

    before = settings()
    load(make(DEOLDIFY)).predict(picture())
    assert settings() == before


def test_runtimes_are_imported_late_and_send_nothing(
    make: Callable[..., Path], tmp_path: Path
) -> None:
    path = make(replace(DDCOLOR, size=(64, 64)))
    home = tmp_path / "home"
    home.mkdir()
    code = f"""
import sys
from filmcolor.network.onnx_model import OnnxColorizer
runtimes = {{"openvino", "onnxruntime"}}
assert not runtimes & set(sys.modules)
OnnxColorizer.load({str(path)!r}, "cpu")
assert runtimes & set(sys.modules)
assert not [m for m in sys.modules if m.startswith("openvino_telemetry")]
"""
    environment = os.environ | {"HOME": str(home), "USERPROFILE": str(home)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert not list(home.iterdir())


def test_a_missing_runtime_is_one_line(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(DDCOLOR)
    for name in ("openvino", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None)
    assert "pip install 'filmcolor[onnx]'" in refusal(lambda: load(path))


@pytest.mark.skipif(torch.cuda.is_available(), reason="has such a device")
def test_a_missing_device_is_refused(make: Callable[..., Path]) -> None:
    with pytest.raises(SettingsError, match="no cuda device"):
        OnnxColorizer.load(make(DDCOLOR), "cuda")
