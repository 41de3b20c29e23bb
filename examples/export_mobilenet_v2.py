"""Write MobileNetV2 as an ONNX file, the way one exports any PyTorch model.

Usage: python examples/export_mobilenet_v2.py FILE.onnx

The weights are untrained: Armillary reads shapes, not values.
Source: Sandler et al., MobileNetV2, CVPR 2018, Table 2.
"""

import sys
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

# expansion, output channels, repeats, stride of the first repeat
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Return a convolution with its batch normalisation."""
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]


class InvertedResidual(nn.Module):
    """Expand, filter by depth, project; add the input where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        """Build the block's layers."""
        super().__init__()
        hidden = inputs * expansion
        layers = [] if expansion == 1 else [*conv(inputs, hidden, 1), nn.ReLU6()]
        layers += [*conv(hidden, hidden, 3, stride, groups=hidden), nn.ReLU6(), *conv(hidden, outputs, 1)]
        self.layers = nn.Sequential(*layers)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, shape [batch, outputs, height, width]."""
        return x + self.layers(x) if self.adds else self.layers(x)


def mobilenet_v2() -> nn.Module:
    """Return the network at width 1.0, resolution 224, 1000 classes."""
    layers, channels = [*conv(3, 32, 3, 2), nn.ReLU6()], 32
    for expansion, outputs, repeats, stride in STAGES:
        for i in range(repeats):
            layers.append(InvertedResidual(channels, outputs, stride if i == 0 else 1, expansion))
            channels = outputs
    layers += [*conv(channels, 1280, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 1000)]
    return nn.Sequential(*layers)


def main() -> None:
    """Export the network to the file named on the command line."""
    path = Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about its own plans
        torch.onnx.export(
            mobilenet_v2().eval(), (torch.zeros(1, 3, 224, 224),), path, input_names=["image"], dynamo=False
        )
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
