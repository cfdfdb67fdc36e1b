# SPDX-License-Identifier: Apache-2.0
"""Debian's torch 1.13 cannot import torch.distributed._shard.sharded_tensor under Python 3.11. What asks for it here needs a name from it,
for an isinstance check, and no more: import this first."""

import sys
import types


def _class(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (), {})


_name = "torch.distributed._shard.sharded_tensor"
_module = types.ModuleType(_name)
_module.__getattr__ = _class
sys.modules[_name] = _module
