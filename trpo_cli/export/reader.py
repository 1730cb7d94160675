"""Acts with a file of ``trpo-export --format npz``. It needs numpy alone: copy it."""
# mypy: ignore-errors
# The page of trpo-export shows it as it stands here.

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def read_policy(path):
    a = dict(np.load(path))
    activations = {
        "tanh": np.tanh,
        "relu": lambda z: np.maximum(z, 0),
        "leaky_relu": lambda z: np.maximum(z, 0.01 * z),
        "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
        "silu": lambda z: z * (0.5 + 0.5 * np.tanh(0.5 * z)),
    }

    def act(observations):
        h = (observations - a["observation_mean"]) / a["observation_std"]
        h = np.clip(h, -a["observation_clip"], a["observation_clip"])
        h = np.moveaxis(h, -1, 1) if a["channels_last"] else h
        for i in range(int(a["layers"])):
            if i and a["layer_norm"]:
                h = (h - h.mean(1, keepdims=True)) / np.sqrt(h.var(1, keepdims=True) + 1e-5)
            h = activations[str(a["activation"])](h) if i else h
            w, b = a[f"weight{i}"], a[f"bias{i}"]
            if w.ndim == 4:  # a convolution
                stride = int(a[f"stride{i}"])
                windows = sliding_window_view(h, w.shape[2:], (2, 3))[:, :, ::stride, ::stride]
                h = np.einsum("bchwij,ocij->bohw", windows, w, optimize=True) + b[:, None, None]
            else:
                h = h.reshape(len(h), -1) @ w + b
        if "sizes" in a:  # choices
            parts = np.split(h, np.cumsum(a["sizes"])[:-1], axis=1)
            choices = np.stack([part.argmax(1) for part in parts], axis=1)
            choices = choices[:, 0] if a["single"] else choices
            return {"action": choices + a["start"], "logits": h}
        if "factor" not in a:  # coins
            return {"action": (h > 0).astype(np.int8), "logits": h}
        h, u = np.split(h, [a["factor"].size], axis=1)
        log_std = a["log_std"] + 3 * np.tanh(u / 3) if u.size else a["log_std"]
        action = np.where(a["squashed"], np.tanh(h), h) * a["factor"] + a["offset"]
        action, mean = np.clip(action, a["low"], a["high"]), h * a["mean_factor"] + a["mean_offset"]
        std = np.broadcast_to(np.exp(log_std) * a["mean_factor"], h.shape)
        outputs = {"action": action, "mean": mean, "std": std}
        return {name: x.reshape(-1, *a["shape"]) for name, x in outputs.items()}

    return act
