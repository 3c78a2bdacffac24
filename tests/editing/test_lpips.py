"""LPIPS on random weights in files as the public ones are: their names and shapes, the value by hand, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from editing.lpips import Lpips
from renderer.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path

# torchvision: index of each convolution in `features` -> (outputs, inputs, edge of the kernel).
ALEXNET = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}
VGG16 = {
    0: (64, 3),
    2: (64, 64),
    5: (128, 64),
    7: (128, 128),
    10: (256, 128),
    12: (256, 256),
    14: (256, 256),
    17: (512, 256),
    19: (512, 512),
    21: (512, 512),
    24: (512, 512),
    26: (512, 512),
    28: (512, 512),
}
CHANNELS = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}


def backbone_tensors(name: str) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = {i: (o, c, k, k) for i, (o, c, k) in ALEXNET.items()} if name == "alex" else {i: (o, c, 3, 3) for i, (o, c) in VGG16.items()}
    tensors = {}
    for index, shape in shapes.items():
        spread = (2.0 / np.prod(shape[1:])) ** 0.5
        tensors[f"features.{index}.weight"] = torch.randn(shape, generator=generator) * spread
        tensors[f"features.{index}.bias"] = torch.randn(shape[0], generator=generator) * 0.1
    return tensors | {"classifier.6.bias": torch.zeros(1000)}


def linear_tensors(name: str) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return {f"lin{i}.model.1.weight": torch.rand((1, n, 1, 1), generator=generator) for i, n in enumerate(CHANNELS[name])}


def written(folder: Path, name: str) -> tuple[Path, Path]:
    backbone, linear = folder / f"{name}-backbone.pth", folder / f"{name}.pth"
    torch.save(backbone_tensors(name), backbone)
    torch.save(linear_tensors(name), linear)
    return backbone, linear


@pytest.fixture(scope="module")
def alex(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return written(tmp_path_factory.mktemp("lpips"), "alex")


def pictures() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    return tuple(random.integers(0, 256, (64, 72, 3), dtype=np.uint8) for _ in range(2))  # type: ignore[return-value]


def alexnet_features(picture: np.ndarray) -> list[torch.Tensor]:
    t = {name.removeprefix("features."): tensor for name, tensor in backbone_tensors("alex").items()}
    x = torch.tensor(2.0 * picture / 255.0 - 1.0, dtype=torch.float32).permute(2, 0, 1)[None]
    x = (x - torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)) / torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
    first = F.relu(F.conv2d(x, t["0.weight"], t["0.bias"], stride=4, padding=2))
    second = F.relu(F.conv2d(F.max_pool2d(first, 3, 2), t["3.weight"], t["3.bias"], padding=2))
    third = F.relu(F.conv2d(F.max_pool2d(second, 3, 2), t["6.weight"], t["6.bias"], padding=1))
    fourth = F.relu(F.conv2d(third, t["8.weight"], t["8.bias"], padding=1))
    return [first, second, third, fourth, F.relu(F.conv2d(fourth, t["10.weight"], t["10.bias"], padding=1))]


def vgg16_features(picture: np.ndarray) -> list[torch.Tensor]:
    t = {name.removeprefix("features."): tensor for name, tensor in backbone_tensors("vgg").items()}
    x = torch.tensor(2.0 * picture / 255.0 - 1.0, dtype=torch.float32).permute(2, 0, 1)[None]
    x = (x - torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)) / torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
    found = []
    for block in ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)):
        for index in block:
            x = F.relu(F.conv2d(x, t[f"{index}.weight"], t[f"{index}.bias"], padding=1))
        found.append(x)
        x = F.max_pool2d(x, 2)
    return found


def by_hand(name: str, a: np.ndarray, b: np.ndarray) -> float:
    """Pixel by pixel: unit-length feature vectors, squared differences, the learned weights, the mean over the picture."""
    features = {"alex": alexnet_features, "vgg": vgg16_features}[name]
    total = 0.0
    for layer, (of_a, of_b) in enumerate(zip(features(a), features(b), strict=True)):
        weights = linear_tensors(name)[f"lin{layer}.model.1.weight"].numpy().reshape(-1)
        p, q = (f[0].permute(1, 2, 0).reshape(-1, len(weights)).numpy().astype(float) for f in (of_a, of_b))
        p, q = (f / (np.sqrt((f**2).sum(1, keepdims=True)) + 1e-10) for f in (p, q))
        total += ((p - q) ** 2 @ weights).mean()
    return total


@pytest.mark.parametrize("name", ["alex", "vgg"])
def test_lpips_matches_the_formula_by_hand(name: str, tmp_path: Path) -> None:
    judge = Lpips(*written(tmp_path, name))
    a, b = pictures()
    assert judge.name == name
    assert judge.distance(a, b) == pytest.approx(by_hand(name, a, b), rel=1e-4)
    assert judge.distance(a, a) == 0.0


def test_lpips_is_the_same_both_ways(alex: tuple[Path, Path]) -> None:
    a, b = pictures()
    judge = Lpips(*alex)
    assert judge.distance(a, b) == pytest.approx(judge.distance(b, a))


def test_lpips_rejects_files_that_do_not_belong_together(alex: tuple[Path, Path], tmp_path: Path) -> None:
    backbone, linear = alex
    other = tmp_path / "vgg.pth"
    torch.save(linear_tensors("vgg"), other)
    with pytest.raises(BadInput, match="VGG-16"):
        Lpips(backbone, other)
    with pytest.raises(BadInput, match=r"alex\.pth or vgg\.pth"):
        Lpips(backbone, backbone)
    with pytest.raises(BadInput, match="No such file"):
        Lpips(tmp_path / "missing.pth", linear)


def test_lpips_rejects_a_file_that_is_not_tensors(alex: tuple[Path, Path], tmp_path: Path) -> None:
    text = tmp_path / "weights.pth"
    text.write_text("no weights")
    with pytest.raises(BadInput, match="not a file of torch tensors") as caught:
        Lpips(text, alex[1])
    assert "\n" not in str(caught.value)


class Opens:
    """What a file that runs code when it is read would hold."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("ran",)


def test_lpips_does_not_run_what_a_file_holds(alex: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "code.pth"
    torch.save({"features.0.weight": Opens()}, path)
    with pytest.raises(BadInput, match="not a file of torch tensors"):
        Lpips(path, alex[1])
    assert "ran" not in capsys.readouterr().out


def test_lpips_rejects_a_tensor_of_another_shape(alex: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "alexnet.pth"
    torch.save(backbone_tensors("alex") | {"features.3.weight": torch.zeros(192, 64, 3, 3)}, path)
    with pytest.raises(BadInput, match=r"features\.3\.weight is \(192, 64, 3, 3\), wanted \(192, 64, 5, 5\)"):
        Lpips(path, alex[1])


@pytest.mark.parametrize("name", ["alex", "vgg"])
def test_patches_can_be_trained_on(tmp_path: Path, name: str) -> None:
    judge = Lpips(*written(tmp_path, name))
    generator = torch.Generator().manual_seed(3)
    target = torch.rand((3, 24, 24, 3), generator=generator)
    patch = target.clone()
    patch[0] = 0.0
    patch[1] = torch.rand((24, 24, 3), generator=generator)
    patch.requires_grad_()
    distances = judge.distances(patch, target)
    assert distances[:2].min() > 0 and distances[2] == 0
    distances.sum().backward()
    assert patch.grad is not None and torch.isfinite(patch.grad).all() and patch.grad[1].abs().max() > 0
    with torch.no_grad():
        closer = patch - 0.05 * patch.grad / patch.grad.abs().max()
        assert judge.distances(closer, target)[1] < distances[1]
