"""The formats of an exported policy: how each is written, and run back."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from trpo_cli.errors import UserError
from trpo_cli.export.module import STATE, ActingModule, Pixels, Whitening
from trpo_cli.export.reader import read_policy
from trpo_cli.models.autograd import ACTIVATIONS, Affine

Acting = Callable[..., Mapping[str, np.ndarray]]
"""Observations (B, *obs), and states (B, S) of a policy that remembers -> the outputs by their
names."""


AFTER = {STATE: "next_state"}
"""What an output is called in ONNX, where an input has its name."""


@dataclass(frozen=True)
class Format:
    """write: from a module, an example (B, *obs) and what to say of the policy to the bytes of a
    file. read: from those to what acts."""

    write: Callable[[ActingModule, np.ndarray, dict[str, Any]], bytes]
    read: Callable[[bytes], Acting]


def _write_onnx(module: ActingModule, example: np.ndarray, about: dict[str, Any]) -> bytes:
    import onnx

    file: Any = io.BytesIO()
    with warnings.catch_warnings():  # that torch has a newer exporter, which needs onnxscript
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            module.example(example),
            file,
            input_names=list(module.inputs),
            # One name for both would make them one tensor.
            output_names=[AFTER.get(name, name) for name in module.names],
            dynamic_axes={
                name: {0: "batch"}
                for name in (*module.inputs, *(AFTER.get(name, name) for name in module.names))
            },
            dynamo=False,
        )
    model = onnx.load_model_from_string(file.getvalue())
    onnx.helper.set_model_props(model, {"about": json.dumps(about)})
    data: bytes = model.SerializeToString()
    return data


def _read_onnx(data: bytes) -> Acting:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    inputs = [node.name for node in session.get_inputs()]
    names = [output.name for output in session.get_outputs()]
    said = {after: name for name, after in AFTER.items()}

    def act(*arrays: np.ndarray) -> Mapping[str, np.ndarray]:
        outputs = session.run(names, dict(zip(inputs, arrays, strict=True)))
        return dict(zip([said.get(name, name) for name in names], outputs, strict=True))

    return act


def _write_torchscript(module: ActingModule, example: np.ndarray, about: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():  # that torch.export is to replace it some day
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(module, module.example(example), check_trace=False)
        said = {**about, "outputs": module.names}
        torch.jit.save(traced, file, _extra_files={"about.json": json.dumps(said)})
    return file.getvalue()


def _read_torchscript(data: bytes) -> Acting:
    extra = {"about.json": ""}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.jit.load(io.BytesIO(data), _extra_files=extra)
    names = json.loads(extra["about.json"])["outputs"]

    def act(*arrays: np.ndarray) -> Mapping[str, np.ndarray]:
        with torch.no_grad():
            outputs = module(*map(torch.from_numpy, arrays))
        return {name: x.numpy() for name, x in zip(names, outputs, strict=True)}

    return act


def _write_npz(module: ActingModule, example: np.ndarray, about: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    np.savez(file, about=np.array(json.dumps(about)), **arrays_of(module, example.shape[1:]))
    return file.getvalue()


def arrays_of(module: ActingModule, shape: tuple[int, ...]) -> dict[str, Any]:
    """All that `export.reader` needs. shape: of an observation."""
    reading, head = module.reading, module.head
    mean, std, clip = torch.zeros(()), torch.full((), 255.0), np.inf
    if isinstance(reading, Whitening):
        mean, std = reading.mean.reshape(shape), 1.0 / reading.scale.reshape(shape)
        clip = reading.bound
    arrays: dict[str, Any] = {
        "observation_mean": mean,
        "observation_std": std,
        "observation_clip": np.float32(clip),
        "channels_last": isinstance(reading, Pixels) and reading.last,
        **_layers(module),
        **dict(head.named_buffers()),
    }
    if hasattr(head, "sizes"):
        arrays |= {"sizes": head.sizes, "single": head.single}
    if hasattr(head, "shape"):
        arrays["shape"] = np.array(head.shape, dtype=np.int64)
    return {key: np.asarray(x) for key, x in arrays.items()}


def _layers(module: ActingModule) -> dict[str, Any]:
    """weight0, bias0, ...: (inputs, outputs), or of a convolution (outputs, inputs, k, k) with
    stride0; and the one activation between them."""
    names = {kind: name for name, kind in ACTIVATIONS.items()}
    layers: list[Any] = []
    used, normalized = set(), False
    for part in module.network if isinstance(module.network, nn.Sequential) else [module.network]:
        if type(part) in names:
            used.add(names[type(part)])
        elif isinstance(part, Affine | nn.Linear | nn.Conv2d):
            layers.append(part)
        elif isinstance(part, nn.LayerNorm) and not part.elementwise_affine:
            normalized = True
        elif not isinstance(part, nn.Flatten):
            raise _no_arrays(part)
    if len(used) > 1:
        raise _no_arrays(module.network)
    found: dict[str, Any] = {"layers": len(layers), "activation": "".join(used) or "tanh"}
    found["layer_norm"] = normalized
    for number, layer in enumerate(layers):
        weight = layer.weight.T if isinstance(layer, nn.Linear) else layer.weight
        bias = torch.zeros(weight.shape[-1]) if layer.bias is None else layer.bias
        if layer is layers[-1]:
            weight, bias = weight[:, : module.columns], bias[: module.columns]
        found |= {f"weight{number}": weight, f"bias{number}": bias}
        if isinstance(layer, nn.Conv2d):
            found[f"stride{number}"] = layer.stride[0]
    return found


def _no_arrays(part: nn.Module) -> UserError:
    return UserError(
        f"--format npz holds perceptrons and the package's own convolutional networks, and the "
        f"policy has a {type(part).__name__}. Try --format torchscript or onnx."
    )


FORMATS = {
    "onnx": Format(_write_onnx, _read_onnx),
    "torchscript": Format(_write_torchscript, _read_torchscript),
    "npz": Format(_write_npz, lambda data: read_policy(io.BytesIO(data))),
}
