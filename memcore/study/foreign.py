"""Weights in the files of torch.save, converted to safetensors on request and never on the way."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeGuard

import torch
from torch import Tensor

from memcore.errors import StudyError
from memcore.study.checkpoints import read_tensors, save_tensors
from memcore.study.files import is_regular

#: What wrappers of torch put before every name.
PREFIXES: Final = ("module.", "_orig_mod.")


@dataclass(frozen=True)
class Converted:
    """What a conversion did.

    Attributes:
        names: names of the tensors in the new file.
        key: entry of the old file that held them, "" for the file itself.
        stripped: what was taken off the beginning of every name.
        left_out: other entries of the old file.
    """

    names: tuple[str, ...]
    key: str
    stripped: str
    left_out: tuple[str, ...]


def convert_checkpoint(source: Path, out: Path, *, key: str = "", strip: str = "") -> Converted:
    """Write the weights of a file of torch.save, or of safetensors, as safetensors.

    Args:
        source: file to read. A file of torch.save is unpickled with `weights_only=True`.
        out: file to write, which must not exist yet.
        key: entry that holds the weights; needed only if there are several.
        strip: beginning of all names to take off, beside "module." and "_orig_mod.".

    Raises:
        StudyError: the file is unreadable, holds no weights or several, or `out` exists.
    """
    if out.exists():
        raise StudyError(f"'{out}' exists; expected a new file: give another with --out")
    content = _content(source)
    chosen = key or _only_state(source, content)
    tensors = content if not chosen else content.get(chosen)
    if not _is_state(tensors):
        raise StudyError(
            f"'{source}' has no weights under {chosen!r}; it holds {_entries(content)}"
        )
    names, stripped = _stripped(list(tensors), strip)
    kept = dict(zip(names, tensors.values(), strict=True))
    odd = next((name for name, each in kept.items() if each.layout != torch.strided), None)
    if odd is not None:
        raise StudyError(f"{odd!r} in '{source}' is a sparse tensor; expected dense weights")
    left_out = tuple(str(entry) for entry in content if entry != chosen) if chosen else ()
    save_tensors(out, kept, {"converted from": source.name})
    return Converted(tuple(kept), chosen, stripped, left_out)


def _content(source: Path) -> Mapping[Any, Any]:
    if not is_regular(source):
        raise StudyError(f"there is no file '{source}'")
    try:
        return read_tensors(source)[0]
    except StudyError:
        pass
    try:
        content = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever an unpickler makes of a stranger's file
        raise StudyError(
            f"'{source}' cannot be read as weights: {str(error).splitlines()[0]}; expected "
            "safetensors or a state_dict: save model.state_dict() where the file came from"
        ) from error
    if not isinstance(content, Mapping):
        raise StudyError(
            f"'{source}' holds {type(content).__name__}; expected a state_dict: names with tensors"
        )
    return content


def _only_state(source: Path, content: Mapping[Any, Any]) -> str:
    """The entry that holds the weights, "" for the content itself."""
    if _is_state(content):
        return ""
    states = [str(name) for name, entry in content.items() if _is_state(entry)]
    if len(states) == 1:
        return states[0]
    what = f"several may be meant: {', '.join(states)}" if states else "none is a state_dict"
    raise StudyError(f"'{source}' holds {_entries(content)}, of which {what}; say which with --key")


def _is_state(content: Any) -> TypeGuard[Mapping[str, Tensor]]:
    return (
        isinstance(content, Mapping)
        and bool(content)
        and all(isinstance(name, str) for name in content)
        and all(isinstance(entry, Tensor) for entry in content.values())
    )


def _entries(content: Mapping[Any, Any]) -> str:
    names = [str(name) for name in content]
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _stripped(names: list[str], strip: str) -> tuple[list[str], str]:
    """Names without what all of them begin with and what no network has of its own."""
    taken = ""
    while True:
        known = [strip, *PREFIXES] if strip and strip not in taken else list(PREFIXES)
        prefix = next((p for p in known if all(name.startswith(p) for name in names)), None)
        if prefix is None:
            break
        names, taken = [name.removeprefix(prefix) for name in names], taken + prefix
    if strip and strip not in taken:
        raise StudyError(f"not all names begin with {strip!r}, for instance {names[0]!r}")
    return names, taken
