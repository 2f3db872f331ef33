"""A new process that knows nothing but a name: reads the best model and saves what it predicts.

python read_back.py IMAGES.npy PREDICTED.npy
"""

import sys

import numpy as np

import exia

images, predicted = sys.argv[1:]
library = exia.Library()
with library.open("digits@best(metrics.accuracy)") as model:
    print(f"read {model.name} version {model.version}")
    np.save(predicted, model.read("model").predict(np.load(images)))
