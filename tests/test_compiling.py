import torch
from test_training import tiny_mixer, train
from torch import nn
from torch._dynamo.utils import counters
from torch.fx.experimental import _config as shapes

from mixbench.training.compiling import compiled_blocks


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(16, 16)

    def forward(self, x_Bd: torch.Tensor) -> torch.Tensor:
        return self.linear(x_Bd).relu()


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(3))

    def forward(self, x_Bd: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x_Bd = block(x_Bd)
        return x_Bd


def compiled() -> int:
    """Return how many graphs were compiled so far."""
    return int(counters["stats"]["unique_graphs"])


def test_blocks_share_one_graph_for_every_number_of_texts_that_of_the_width_too():
    torch._dynamo.reset()
    network, before = Network(), compiled()
    texts = [torch.randn(number, 16, requires_grad=True) for number in (16, 5, 40)]
    with compiled_blocks(network):
        seen = [network(each) for each in texts]
        assert shapes.use_duck_shape
    assert compiled() == before + 1
    for given, each in zip(seen, texts, strict=True):
        assert torch.allclose(given, network(each), atol=1e-6)
    assert compiled() == before + 1  # and outside nothing is compiled


def test_training_compiles_its_blocks_once_and_scores_without_compiling(tmp_path):
    torch._dynamo.reset()
    before = compiled()
    train(tmp_path / "out", tiny_mixer(), max_steps=3, eval_every=1, learning_rate=1e-3, compile=True)
    assert compiled() == before + 1
