"""The settings of the group `policy`: one dataclass per option."""

from __future__ import annotations

from dataclasses import dataclass

from trpo_cli.settings import setting


@dataclass
class MLPPolicyConfig:
    """Gaussian or categorical policy with a multi-layer perceptron."""

    name: str = setting("mlp", "the policy", choices=["mlp"])
    hidden_sizes: list[int] = setting([64, 64], "units of each hidden layer", low=1)
    activation: str = setting("tanh", "hidden activation", choices=["tanh", "relu"])
    output_gain: float = setting(0.01, "gain of the last layer's orthogonal start", low=0)
    init_log_std: float = setting(-1.0, "first log standard deviation (continuous actions)")
    normalize_observations: bool = setting(True, "running mean and variance of observations")
    observation_clip: float = setting(10.0, "bound on normalised observations", above=0)
    actions: str = setting(
        "rescale",
        "bounded actions: rescale [-1, 1] to the bounds, clip at them, or raw",
        choices=["rescale", "clip", "raw"],
    )


@dataclass
class LinearPolicyConfig:
    """Linear-Gaussian policy u ~ N(Wx + b, sigma), or softmax of a linear map."""

    name: str = setting("linear", "the policy", choices=["linear"])
    bias: bool = setting(True, "add a constant term")
    output_gain: float = setting(0.01, "gain of the orthogonal start", low=0)
    init_log_std: float = setting(-0.5, "first log standard deviation (continuous actions)")
    normalize_observations: bool = setting(True, "running mean and variance of observations")
    observation_clip: float = setting(10.0, "bound on normalised observations", above=0)
    actions: str = setting(
        "rescale",
        "bounded actions: rescale [-1, 1] to the bounds, clip at them, or raw",
        choices=["rescale", "clip", "raw"],
    )


@dataclass
class AutoPolicyConfig(MLPPolicyConfig):
    """mlp for vectors of numbers; for images nature_cnn, or trpo_cnn with NPG and TRPO."""

    name: str = setting("auto", "the policy", choices=["auto"])


@dataclass
class NatureCNNPolicyConfig:
    """Three convolutions and 512 units (Mnih et al. 2015), for images."""

    name: str = setting("nature_cnn", "the policy", choices=["nature_cnn"])
    hidden_size: int = setting(512, "units of the layer behind the convolutions", low=1)
    activation: str = setting("relu", "hidden activation", choices=["tanh", "relu"])
    output_gain: float = setting(0.01, "gain of the last layer's orthogonal start", low=0)
    init_log_std: float = setting(-1.0, "first log standard deviation (continuous actions)")
    actions: str = setting(
        "rescale",
        "bounded actions: rescale [-1, 1] to the bounds, clip at them, or raw",
        choices=["rescale", "clip", "raw"],
    )
    precision: str = setting(
        "auto",
        "what the layers compute in (parameters and the last layer stay float32); auto: bfloat16 "
        "for all rules but NPG and TRPO where the processor is made for it, otherwise float32",
        choices=["auto", "float32", "bfloat16"],
    )


@dataclass
class TRPOCNNPolicyConfig(NatureCNNPolicyConfig):
    """Two convolutions of 16 channels and 20 units (Schulman et al. 2015), for images."""

    name: str = setting("trpo_cnn", "the policy", choices=["trpo_cnn"])
    hidden_size: int = setting(20, "units of the layer behind the convolutions", low=1)
