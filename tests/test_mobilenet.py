"""The context branch from a classifier's convolutions; needs the classifier and its reader."""

from pathlib import Path

import numpy as np
import pytest
import torch

from filmcolor.errors import SettingsError, WeightsError
from filmcolor.network.model import ContextNet
from filmcolor.train.mobilenet import load_mobilenet

CLASSIFIER = Path(__file__).parents[2] / "shared/data/teachers/mobilenet_v2_1.0_224_quant.tflite"


def has_reader() -> bool:
    try:
        import ai_edge_litert.interpreter  # noqa: F401
    except ImportError:
        return False
    return True


def test_a_missing_reader_is_an_error(tmp_path: Path) -> None:
    if has_reader():
        pytest.skip("ai-edge-litert is installed")
    with pytest.raises(SettingsError, match="pip install 'filmcolor\\[teacher\\]'"):
        load_mobilenet(ContextNet(), tmp_path / "a.tflite")


@pytest.mark.skipif(not has_reader(), reason="ai-edge-litert is not installed")
def test_a_file_of_another_kind_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.tflite").write_bytes(b"no model")
    for name in ("a.tflite", "gone.tflite"):
        with pytest.raises(WeightsError, match=rf"{name} is no TensorFlow Lite model"):
            load_mobilenet(ContextNet(), tmp_path / name)


@pytest.mark.skipif(not CLASSIFIER.exists(), reason="the classifier is not part of the project")
@pytest.mark.skipif(not has_reader(), reason="ai-edge-litert is not installed")
def test_the_branch_computes_what_the_classifier_does() -> None:
    """For a grey picture the last features are nearly those of the quantised model.

    TensorFlow pads on the right and below, PyTorch on all sides; with mirrored picture and kernels
    the arithmetic is the same.
    """
    from ai_edge_litert.interpreter import Interpreter

    net = ContextNet().eval()
    load_mobilenet(net, CLASSIFIER)
    rows = np.linspace(0, 255, 224)
    picture = (128 + 100 * np.sin(rows[:, None] / 9) * np.cos(rows / 13)).astype(np.uint8)
    interpreter = Interpreter(str(CLASSIFIER), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    rgb = np.repeat(picture[None, :, :, None], 3, axis=3)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], rgb)
    interpreter.invoke()
    details = {d["name"]: d for d in interpreter.get_tensor_details()}
    pooled = details["MobilenetV2/Logits/AvgPool"]
    scale, zero_point = pooled["quantization"]
    expected = (
        interpreter.get_tensor(pooled["index"]).ravel().astype(np.float32) - zero_point
    ) * scale
    with torch.inference_mode():
        for module in net.context.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.weight.copy_(module.weight.flip(2, 3))
        luma = torch.from_numpy(picture / 255.0)[None, None].float().flip(2, 3)
        features = net.context(luma * 2.0 - 1.0).mean(dim=(2, 3)).ravel().numpy()
    assert np.corrcoef(features, expected)[0, 1] > 0.97
