"""The networks: the tutorial's names, shapes and outputs; context branch, bins, optimisation."""

import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v2, resnet18

from filmcolor.network.layers import mobilenet_v2_features
from filmcolor.network.model import ANNEALING, NUM_BINS, ColorNet, ContextNet, decode_ab, encode_ab
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
        half = net.forward_half(pictures)
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


@pytest.fixture(scope="module")
def film_net(net):
    """The film network, initialised with the tutorial's weights."""
    torch.manual_seed(0)
    film = ContextNet()
    film.load_state_dict(net.state_dict(), strict=False)
    return film.eval()


def test_the_film_network_initially_equals_the_tutorials(film_net, net, pictures):
    assert set(net.state_dict()) < set(film_net.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(film_net(pictures), net(pictures), rtol=0, atol=0)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (16, 40), (64, 24), (136, 104)])
def test_the_film_networks_output_has_the_pictures_size(film_net, height, width):
    with torch.inference_mode():
        assert film_net(torch.zeros(1, 1, height, width)).shape == (1, 2, height, width)


def test_the_film_network_sees_the_whole_picture(net, film_net):
    """A change in one corner reaches the middle only through the context branch."""
    lively = ContextNet().eval()
    lively.load_state_dict(film_net.state_dict())
    with torch.no_grad():
        lively.context_out.weight.normal_(0.0, 0.1)
    plain = torch.rand(1, 1, 256, 256, generator=torch.Generator().manual_seed(2))
    changed = plain.clone()
    changed[..., :32, :32] = 0.0
    middle = (slice(None), slice(None), slice(128, 160), slice(128, 160))
    with torch.inference_mode():
        assert torch.equal(net(plain)[middle], net(changed)[middle])
        assert not torch.equal(lively(plain)[middle], lively(changed)[middle])


def test_the_film_network_is_small_and_without_norms_in_its_branch():
    assert 2 * sum(p.numel() for p in ContextNet().parameters()) < 16e6  # bytes in float16
    assert not any(isinstance(m, nn.BatchNorm2d) for m in ContextNet().context.modules())


def test_folding_keeps_the_outputs(film_net, pictures):
    folded = ContextNet().eval()
    folded.load_state_dict(film_net.state_dict())
    fold_batch_norms(folded)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    with torch.inference_mode():
        torch.testing.assert_close(folded(pictures), film_net(pictures), rtol=0, atol=1e-4)


# ---------------------------------------------------------------- bins


@pytest.fixture(scope="module")
def bins_net():
    torch.manual_seed(0)
    net = ColorNet(has_bins=True).eval()
    angles = torch.arange(NUM_BINS) * 2.4
    net.bins.centers.copy_(torch.stack([angles.cos(), angles.sin()], dim=1) * 50.0)
    return net


def test_logits_are_a_quarter_of_the_size(bins_net, pictures):
    with torch.inference_mode():
        assert bins_net.logits_of(bins_net.features(pictures)).shape == (2, NUM_BINS, 12, 16)
        assert bins_net.forward_half(pictures).shape == (2, 2, 24, 32)


@pytest.mark.parametrize("temperature", [1.0, ANNEALING, 0.1])
def test_annealed_mean_is_zhangs(bins_net, temperature):
    logits = torch.randn(1, NUM_BINS, 2, 3, generator=torch.Generator().manual_seed(3))
    bins_net.bins.temperature.fill_(temperature)
    shares = torch.exp(logits.double().log_softmax(1) / temperature)  # equation 5 of the paper
    shares = shares / shares.sum(dim=1, keepdim=True)
    expected = (shares.float()[:, :, None] * bins_net.bins.centers[None, :, :, None, None]).sum(
        dim=1
    )
    colors = decode_ab(bins_net.bins.colors(logits))
    torch.testing.assert_close(colors, expected, rtol=1e-3, atol=1e-3)


def test_a_low_temperature_gives_the_likeliest_colour(bins_net):
    logits = torch.zeros(1, NUM_BINS, 1, 1)
    logits[0, 7] = 5.0
    bins_net.bins.temperature.fill_(0.01)
    color = decode_ab(bins_net.bins.colors(logits)).flatten()
    torch.testing.assert_close(color, bins_net.bins.centers[7], rtol=0, atol=1e-3)


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


def test_the_branch_is_torchvisions_mobilenet_v2():
    torch.manual_seed(0)
    theirs = mobilenet_v2().features.eval()
    first = theirs[0][0]
    theirs[0][0] = nn.Conv2d(1, 32, 3, stride=2, padding=1, bias=False)
    assert first.out_channels == 32
    with torch.no_grad():
        for module in theirs.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    fold_batch_norms(theirs.eval())
    ours = mobilenet_v2_features().eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    picture = torch.rand(1, 1, 64, 96)
    with torch.inference_mode():
        torch.testing.assert_close(ours(picture), theirs(picture))


@pytest.mark.parametrize("kind", [ColorNet, ContextNet])
@pytest.mark.parametrize("has_bins", [False, True])
def test_merged_upsampling_changes_nothing(kind, has_bins, pictures):
    torch.manual_seed(0)
    net = kind(has_bins).eval()
    fold_batch_norms(net)
    if has_bins:
        net.bins.centers.copy_(torch.linspace(-90, 90, 2 * NUM_BINS).reshape(NUM_BINS, 2))
    with torch.inference_mode():
        expected = net.forward_half(pictures)
        merge_upsampling(net)
        output = net.forward_half(pictures)
    assert sum(isinstance(m, nn.Upsample) for m in net.upsample) == 1  # the last
    assert expected.std() > 0.0
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [ColorNet, ContextNet])
def test_fused_activations_change_nothing(kind, film_net, pictures):
    net = kind().eval()
    net.load_state_dict(film_net.state_dict(), strict=kind is ContextNet)
    if kind is ContextNet:
        nn.init.normal_(net.context_out.weight, std=0.1)
    fold_batch_norms(net)
    merge_upsampling(net)
    with torch.inference_mode():
        expected = net.forward_half(pictures)
        fuse_activations(net)
        output = net.forward_half(pictures)
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)
    has_onednn = torch.backends.mkldnn.is_available()
    assert any(isinstance(m, nn.ReLU | nn.ReLU6) for m in net.modules()) != has_onednn


def test_nothing_is_fused_without_onednn(film_net, pictures, monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    net = ContextNet().eval()
    num_modules = len(list(net.modules()))
    fuse_activations(net)
    assert len(list(net.modules())) == num_modules
