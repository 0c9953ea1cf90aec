"""Which torch device this process computes on, of those that a study may mean."""

import os
from functools import lru_cache
from typing import Final

import torch

from memcore._text import shown
from memcore.errors import StudyError

#: Names the device of this process, for a study on devices of its type. It is no setting of the
#: study: GPUs of one model give the same bytes, and share a results folder.
VARIABLE: Final = "MEMCORE_DEVICE"


def placed(device: str) -> torch.device:
    """The torch device of this process for a study.

    Args:
        device: device of the study, such as "cuda", which stands for any GPU: the first one, or
            that of the environment variable `MEMCORE_DEVICE`.

    Raises:
        StudyError: there is no such device, or the variable names one of another type.
    """
    return _placed(device, os.environ.get(VARIABLE, ""))


@lru_cache(maxsize=16)
def _placed(device: str, here: str) -> torch.device:
    if not here:
        return _usable(device)
    own = _usable(here)
    if own.type != _usable(device, here=False).type:
        raise StudyError(
            f"this process is to compute on {shown(here)}, by the devices of its executor or "
            f"{VARIABLE}, and the study on {shown(device)}; expected devices of one type, such as "
            "cuda:0 and cuda:1 for a study on cuda"
        )
    return own


def _usable(device: str, *, here: bool = True) -> torch.device:
    """A torch device by its name; one that computes in this process, if it is `here`."""
    try:
        named = torch.device(device)
        if here:
            (torch.zeros(1, device=named) + 1).item()  # "meta" has no numbers
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise StudyError(
            f"device {device!r} cannot be used: {str(error).splitlines()[0]}; expected one that "
            "computes, such as cpu or cuda"
        ) from None
    return named
