"""The networks: names, shapes and outputs of both; optimisation for inference."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from filmcolor.network.layers import EfficientNetLite2, SelfAttention
from filmcolor.network.model import NUM_BINS, ColorNet, decode_ab, encode_ab
from filmcolor.network.optimize import fold_batch_norms, fuse_activations, merge_upsampling
from filmcolor.video.proxy import STRIDE


class TutorialNet(nn.Module):
    """Luke Melas-Kyriazi's ColorizationNet (2018), as the tutorial defines it."""

    def __init__(self):
        super().__init__()
        resnet = resnet18(num_classes=365)
        resnet.conv1.weight = nn.Parameter(resnet.conv1.weight.sum(dim=1).unsqueeze(1))
        self.midlevel_resnet = nn.Sequential(*list(resnet.children())[0:6])
        self.upsample = nn.Sequential(
            nn.Conv2d(128, 128, kernel_size=3, stride=1, padding=1),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(128, 64, kernel_size=3, stride=1, padding=1),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.Conv2d(64, 64, kernel_size=3, stride=1, padding=1),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(64, 32, kernel_size=3, stride=1, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 2, kernel_size=3, stride=1, padding=1),
            nn.Upsample(scale_factor=2),
        )

    def forward(self, picture):
        return self.upsample(self.midlevel_resnet(picture))


@pytest.fixture(scope="module")
def tutorial_net():
    """The reference, with batch norms as after training."""
    torch.manual_seed(0)
    net = TutorialNet()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 1.5)
    return net.eval()


@pytest.fixture(scope="module")
def net(tutorial_net):
    """A ColorNet with the reference's weights."""
    ours = ColorNet()
    ours.load_state_dict(tutorial_net.state_dict(), strict=True)
    return ours.eval()


@pytest.fixture(scope="module")
def pictures():
    return torch.rand(2, 1, 48, 64, generator=torch.Generator().manual_seed(1))


def test_state_dict_has_the_tutorials_names_and_shapes(tutorial_net):
    theirs = {name: tuple(t.shape) for name, t in tutorial_net.state_dict().items()}
    ours = {name: tuple(t.shape) for name, t in ColorNet().state_dict().items()}
    assert list(ours) == list(theirs)
    assert ours == theirs


def test_outputs_are_the_tutorials(net, tutorial_net, pictures):
    with torch.inference_mode():
        torch.testing.assert_close(net(pictures), tutorial_net(pictures), rtol=0, atol=0)


def test_our_state_dict_loads_into_the_tutorials_network(net, pictures):
    theirs = TutorialNet().eval()
    theirs.load_state_dict(net.state_dict(), strict=True)
    with torch.inference_mode():
        torch.testing.assert_close(theirs(pictures), net(pictures), rtol=0, atol=0)


def test_half_size_output_doubled_is_the_output(net, pictures):
    with torch.inference_mode():
        half = net.decode_half(net.layers(pictures)[0])
        doubled = half.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        assert half.shape == (2, 2, 24, 32)
        torch.testing.assert_close(net(pictures), doubled, rtol=0, atol=0)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (16, 40), (64, 24)])
def test_output_has_the_pictures_size(net, height, width):
    assert height % STRIDE == width % STRIDE == 0
    with torch.inference_mode():
        assert net(torch.zeros(1, 1, height, width)).shape == (1, 2, height, width)


def test_number_of_parameters():
    assert sum(p.numel() for p in ColorNet().parameters()) == pytest.approx(0.95e6, rel=0.01)


def test_the_trunk_has_128_channels(net, pictures):
    with torch.inference_mode():
        assert net.midlevel_resnet(pictures).shape == (2, 128, 6, 8)


# ---------------------------------------------------------------- the film network


@pytest.mark.parametrize(("height", "width"), [(8, 8), (16, 40), (64, 24), (136, 104), (256, 344)])
def test_logits_are_a_quarter_of_the_pictures_size(film_net, height, width):
    with torch.inference_mode():
        logits = film_net(torch.zeros(1, 1, height, width))
    assert logits.shape == (1, NUM_BINS, height // 4, width // 4)


def test_the_encoder_has_the_sizes_that_its_name_says():
    encoder = EfficientNetLite2()
    features = encoder(torch.rand(1, 1, 64, 96))
    assert [f.shape[1] for f in features] == list(encoder.channels)
    assert [96 // f.shape[3] for f in features] == [2, 4, 8, 16, 32]
    # Tan & Le's 6.1 M parameters less the head's, the classifier's and two input channels
    num_head = 352 * 1280 + 2 * 1280 + 1280 * 1000 + 1000 + 2 * 32 * 9
    assert sum(p.numel() for p in encoder.parameters()) == pytest.approx(
        6.09e6 - num_head, rel=0.01
    )


def test_the_encoder_has_no_batch_norms_and_the_network_is_small(film_net):
    assert not any(isinstance(m, nn.BatchNorm2d) for m in film_net.encoder.modules())
    assert 2 * sum(p.numel() for p in film_net.parameters()) < 16e6  # bytes in float16


def test_attention_sees_the_whole_picture(film_net):
    """A change in one corner reaches the opposite one, through attention alone."""
    features = torch.randn(1, 160, 12, 20, generator=torch.Generator().manual_seed(2))
    changed = features.clone()
    changed[..., 0, 0] += 3.0
    with torch.inference_mode():
        moved = film_net.attention(changed) - film_net.attention(features)
    assert moved[..., -1, -1].abs().max() > 1e-4


def test_attention_does_not_depend_on_where_a_token_is_stored():
    """Without its positional convolution, attention treats positions as a set."""
    torch.manual_seed(0)
    block = SelfAttention(16).eval()
    nn.init.zeros_(block.position.weight)
    nn.init.zeros_(block.position.bias)
    features = torch.randn(1, 16, 3, 5)
    with torch.inference_mode():
        flipped = block(features.flip(3)).flip(3)
        torch.testing.assert_close(flipped, block(features), rtol=1e-4, atol=1e-5)


def test_the_mean_colour_is_the_expectation_over_the_bins(film_net):
    logits = torch.randn(1, NUM_BINS, 2, 3, generator=torch.Generator().manual_seed(3))
    shares = torch.exp(logits.double().log_softmax(1)).float()
    expected = (shares[:, :, None] * film_net.centers[None, :, :, None, None]).sum(dim=1)
    torch.testing.assert_close(film_net.mean_ab(logits), expected, rtol=1e-4, atol=1e-4)


def test_the_mean_of_a_sure_network_is_its_bin(film_net):
    logits = torch.zeros(1, NUM_BINS, 1, 1)
    logits[0, 7] = 50.0
    color = film_net.mean_ab(logits).flatten()
    torch.testing.assert_close(color, film_net.centers[7], rtol=0, atol=1e-4)


# ---------------------------------------------------------------- coding of ab


def test_ab_coding_and_back():
    ab = torch.linspace(-128.0, 127.0, 511)
    torch.testing.assert_close(decode_ab(encode_ab(ab)), ab, rtol=0, atol=5e-5)


def test_ab_is_coded_as_the_tutorial_codes_it():
    coded = encode_ab(torch.tensor([-128.0, 0.0, 127.0]))
    torch.testing.assert_close(coded, torch.tensor([0.0, 128 / 255, 1.0]))


def test_half_precision_is_decoded_in_float32():
    # bfloat16 has 8 bits of precision: decoded in it, ab would have steps of 1
    coded = torch.tensor([0.53125], dtype=torch.bfloat16)  # exact in bfloat16
    decoded = decode_ab(coded)
    assert decoded.dtype == torch.float32
    assert decoded.item() == pytest.approx(0.53125 * 255 - 128)


# ---------------------------------------------------------------- optimisation


def test_folding_keeps_the_outputs(film_net, pictures):
    folded = deepcopy(film_net)
    fold_batch_norms(folded)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    with torch.inference_mode():
        torch.testing.assert_close(folded(pictures), film_net(pictures), rtol=1e-3, atol=1e-3)


def test_merged_upsampling_changes_nothing(net, pictures):
    merged = deepcopy(net)
    fold_batch_norms(merged)
    with torch.inference_mode():
        expected = merged(pictures)
        merge_upsampling(merged)
        output = merged(pictures)
    assert sum(isinstance(m, nn.Upsample) for m in merged.upsample) == 1  # the last
    assert expected.std() > 0.0
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["net", "film_net"])
def test_fused_activations_change_nothing(name, pictures, request):
    net = deepcopy(request.getfixturevalue(name))
    fold_batch_norms(net)
    fused = deepcopy(net)
    fuse_activations(fused)
    with torch.inference_mode():
        for batch in (pictures, pictures[:1, :, 8:], pictures[1:]):  # each size has a layout
            torch.testing.assert_close(fused(batch), net(batch), rtol=1e-3, atol=1e-3)
    has_onednn = torch.backends.mkldnn.is_available()
    assert any(isinstance(m, nn.ReLU | nn.ReLU6) for m in fused.modules()) != has_onednn


def test_nothing_is_fused_without_onednn(film_net, monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    plain = deepcopy(film_net)
    num_modules = len(list(plain.modules()))
    fuse_activations(plain)
    assert len(list(plain.modules())) == num_modules
