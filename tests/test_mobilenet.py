"""A classifier's convolutions begin the context branch; needs the teacher and its reader."""

from pathlib import Path

import numpy as np
import pytest
import torch

from filmcolor.errors import SettingsError, WeightsError
from filmcolor.network.model import ContextNet
from filmcolor.train.mobilenet import teach_context

TEACHER = Path(__file__).parents[2] / "shared/data/teachers/mobilenet_v2_1.0_224_quant.tflite"


def has_reader() -> bool:
    try:
        import ai_edge_litert.interpreter  # noqa: F401
    except ImportError:
        return False
    return True


def test_a_missing_reader_is_told(tmp_path: Path) -> None:
    if has_reader():
        pytest.skip("ai-edge-litert is installed")
    with pytest.raises(SettingsError, match="pip install 'filmcolor\\[teacher\\]'"):
        teach_context(ContextNet(), tmp_path / "a.tflite")


@pytest.mark.skipif(not has_reader(), reason="ai-edge-litert is not installed")
def test_what_is_no_teacher_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.tflite").write_bytes(b"no model")
    for name in ("a.tflite", "gone.tflite"):
        with pytest.raises(WeightsError, match=rf"{name} is no TensorFlow Lite model"):
            teach_context(ContextNet(), tmp_path / name)


@pytest.mark.skipif(not TEACHER.exists(), reason="the teacher is not part of the project")
@pytest.mark.skipif(not has_reader(), reason="ai-edge-litert is not installed")
def test_the_branch_answers_as_the_teacher_does() -> None:
    """Its last features, of a grey picture, are nearly the quantised model's own.

    TensorFlow pads on the right and below where PyTorch pads all around: the same
    arithmetic, once picture and kernels are mirrored.
    """
    from ai_edge_litert.interpreter import Interpreter

    net = ContextNet().eval()
    teach_context(net, TEACHER)
    rows = np.linspace(0, 255, 224)
    picture = (128 + 100 * np.sin(rows[:, None] / 9) * np.cos(rows / 13)).astype(np.uint8)
    interpreter = Interpreter(str(TEACHER), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    rgb = np.repeat(picture[None, :, :, None], 3, axis=3)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], rgb)
    interpreter.invoke()
    details = {d["name"]: d for d in interpreter.get_tensor_details()}
    pooled = details["MobilenetV2/Logits/AvgPool"]
    scale, zero = pooled["quantization"]
    wanted = (interpreter.get_tensor(pooled["index"]).ravel().astype(np.float32) - zero) * scale
    with torch.inference_mode():
        for module in net.context.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.weight.copy_(module.weight.flip(2, 3))
        luma = torch.from_numpy(picture / 255.0)[None, None].float().flip(2, 3)
        got = net.context(luma * 2.0 - 1.0).mean(dim=(2, 3)).ravel().numpy()
    assert np.corrcoef(got, wanted)[0, 1] > 0.97
