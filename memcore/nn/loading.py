"""Weights that reach a network layer by layer, as it is converted: of shards, or of any mapping."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from memcore._text import shown, some
from memcore.errors import ConfigError, ConversionError

#: A folder of safetensors files, its index, one such file, or tensors by their names.
Weights = str | Path | Mapping[str, Tensor]

_INDEX = ".safetensors.index.json"


class Shards(Mapping[str, Tensor]):
    """Tensors of safetensors files by their names, each read when it is asked for.

    Args:
        path: one file; a folder with an index or with files; or the index itself.

    Raises:
        ConfigError: there is no such file, or it is none of safetensors.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: dict[Path, Any] = {}
        self._home = dict(self._found())

    def _found(self) -> Iterator[tuple[str, Path]]:
        path = self._path
        if path.is_dir():
            indices = sorted(path.glob(f"*{_INDEX}"))
            files = sorted(path.glob("*.safetensors"))
            if len(indices) > 1 or not (indices or files):
                raise ConfigError(
                    f"weights={str(path)!r} has {len(indices)} indices and {len(files)} files of "
                    f"safetensors; expected one index, *{_INDEX}, or files without an index"
                )
            if not indices:
                for file in files:
                    yield from dict.fromkeys(self._names(file), file).items()
                return
            path = indices[0]
        if path.name.endswith(".json"):
            yield from self._of_index(path)
        else:
            yield from dict.fromkeys(self._names(path), path).items()

    def _of_index(self, path: Path) -> Iterator[tuple[str, Path]]:
        try:
            homes = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
            pairs = [(str(name), path.parent / str(file)) for name, file in homes.items()]
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"the index {str(path)!r} cannot be read: {error}; expected JSON with a weight_map "
                "from names to files"
            ) from error
        yield from pairs

    def _names(self, file: Path) -> list[str]:
        names: list[str] = self._open(file).keys()
        return names

    def _open(self, file: Path) -> Any:
        if file not in self._files:
            try:
                self._files[file] = safe_open(file, framework="pt")
            except (OSError, SafetensorError) as error:
                raise ConfigError(
                    f"weights of {str(file)!r} cannot be read: {error}; expected a file of "
                    "safetensors"
                ) from error
        return self._files[file]

    def __getitem__(self, name: str) -> Tensor:
        tensor: Tensor = self._open(self._home[name]).get_tensor(name)
        return tensor.clone()  # else it is the file itself, which may be replaced

    def __iter__(self) -> Iterator[str]:
        return iter(self._home)

    def __len__(self) -> int:
        return len(self._home)


def opened(weights: object) -> Mapping[str, Tensor]:
    """Tensors by their names.

    Raises:
        ConfigError: they cannot be read, or it is something else.
    """
    if isinstance(weights, Mapping):
        return weights
    if isinstance(weights, str | Path):
        return Shards(Path(weights))
    raise ConfigError(
        f"weights={shown(weights)}; expected the path of a folder, an index or a file of "
        "safetensors, or a mapping from names to tensors"
    )


class Arrival:
    """How the parts of a network come to be where they are converted, each when its turn comes.

    Parameters and buffers without values, on the device `meta`, take those of the same name;
    tied ones stay tied. All are moved to the device.

    Args:
        model: the network.
        weights: what has the values; None if the network has them.
        device: where the network is to be; None leaves each part where it is, or where `weights`
            have it.

    Raises:
        ConfigError: `weights` cannot be read.
        ConversionError: they are not those of the network, or it has none and there are none.
    """

    def __init__(self, model: nn.Module, weights: Weights | None, device: Any) -> None:
        self._weights = {} if weights is None else opened(weights)
        self._device = None if device is None else _device(device)
        self._made: dict[int, Tensor] = {}  # of a tensor that is gone, which nobody asks for
        #: All names of each tensor of the network, of which one may have its values.
        self._names: dict[int, list[str]] = {}
        saved = set(model.state_dict(keep_vars=True))
        for name, tensor in _tensors(model):
            self._names.setdefault(id(tensor), []).append(name)
        self._require(model, saved, weights is not None)

    @property
    def is_idle(self) -> bool:
        """Whether everything is in its place already."""
        return not self._weights and self._device is None

    def _require(self, model: nn.Module, saved: set[str], given: bool) -> None:
        empty = {name: t for name, t in _tensors(model) if t.is_meta}
        known = self._weights
        lost = [
            name
            for name, tensor in empty.items()
            if not any(each in known for each in self._names[id(tensor)])
        ]
        if lost:
            named = some(lost)
            if any(name not in saved for name in lost):
                raise ConversionError(
                    f"{named} of the network have no values, and no state has them; expected "
                    "buffers with values: make them outside of torch.device('meta')"
                )
            source = "and the weights have none of that name" if given else "without values"
            raise ConversionError(
                f"{named} of the network are on the device meta, {source}; expected "
                "memcore.convert_(model, config, weights=...) with a folder of safetensors files "
                "or a mapping that has all"
            )
        taken = {name for names in self._names.values() for name in names}
        extra = [name for name in known if name not in taken]
        if extra:
            raise ConversionError(
                f"the weights have {some(extra)}, which the network has not; expected the weights "
                "of this network"
            )

    def bring(self, module: nn.Module, name: str, *, whole: bool) -> None:
        """Let a module, with all that is below it or without, have its values where it is to be."""
        if self.is_idle:
            return
        for below, each in module.named_modules(prefix=name):
            if whole or each is module:
                for kind in (each._parameters, each._buffers):
                    for key, tensor in kind.items():
                        if tensor is not None:
                            path = f"{below}.{key}" if below else key
                            kind[key] = self._brought(tensor, path)

    def _brought(self, tensor: Tensor, name: str) -> Tensor:
        if id(tensor) in self._made:
            return self._made[id(tensor)]
        source = next((n for n in self._names.get(id(tensor), [name]) if n in self._weights), None)
        value = tensor.detach() if source is None else self._weights[source].detach()
        if source is None and self._device in (None, tensor.device):
            return tensor
        if value.shape != tensor.shape:
            raise ConversionError(
                f"{source} of the weights has shape {list(value.shape)}, that of the network "
                f"{list(tensor.shape)}; expected the weights of this network"
            )
        device = self._device if self._device is not None else value.device
        moved = value.to(device=device, dtype=tensor.dtype)
        if isinstance(tensor, nn.Parameter):
            moved = nn.Parameter(moved, requires_grad=tensor.requires_grad)
        self._made[id(tensor)] = self._made[id(moved)] = moved
        return moved


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def _device(device: Any) -> torch.device:
    try:
        made = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ConfigError(
            f"device={shown(device)}; expected a device of torch, such as 'cuda': {error}"
        ) from error
    if made.type == "meta":
        raise ConfigError("device='meta', where nothing has values; expected 'cpu' or 'cuda'")
    return made
