"""Runs the installed algorithm through its entry point, as a user on another host does."""

from pathlib import Path

import numpy as np

import exia

predict = exia.load("digits:predict")

[installed] = exia.Registry().installed("digits")
directory = Path(installed["directory"])
rows = np.loadtxt(directory / "data" / "test.csv", delimiter=",")
images, labels = rows[:, :-1], rows[:, -1].astype(int)

predicted = predict(images)
print("".join(str(digit) for digit in predicted))
right = int((predicted == labels).sum())
print(f"accuracy {right / len(labels):.6f} ({right} of {len(labels)})")

# The Python object came along too, as a pickle.  A pickle is code, and this one came from elsewhere.
with exia.open_model(directory / "model" / "digits") as model:
    try:
        model.read("model")
    except exia.UntrustedError as refusal:
        print(f"the pickle is refused: {refusal}")
