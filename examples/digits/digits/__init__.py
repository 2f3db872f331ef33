"""Reads handwritten digits: the code that is packed, shipped and run elsewhere.

It needs numpy and Exia and nothing of what trained the model, because the model's part "weights"
holds plain tensors.  A package is installed as code/, model/ and data/ side by side, so the code
finds its model from where it lies itself.
"""

from pathlib import Path

import numpy as np

import exia

_INSTALLED = Path(__file__).resolve().parents[2]  # INSTALLED/code/digits/__init__.py
_model = exia.open_model(_INSTALLED / "model" / "digits")
_weights = _model.part("weights").tensors  # name -> array, mapped from the file: no copy


def predict(images):
    """The digit that each image shows.  An image is one row of 64 grey values from 0 to 16."""
    values = (np.asarray(images, dtype=np.float64) - _weights["mean"]) / _weights["scale"]
    layer = 0
    while f"weight.{layer}" in _weights:  # one layer: a linear model; more: a network
        if layer > 0:
            values = np.maximum(values, 0.0)
        values = values @ _weights[f"weight.{layer}"] + _weights[f"bias.{layer}"]
        layer += 1
    return _weights["classes"][values.argmax(axis=1)]
