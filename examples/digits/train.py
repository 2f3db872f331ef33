"""Trains two models of handwritten digits: a pool holds the components, a DAG runs the steps, a
library keeps the results.  demo.py calls the three functions below, one after the other."""

from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

import exia

# ---- the components: ordinary classes; what one needs arrives as arguments ----------------------


class Loader:
    """The 1,797 digits that ship with scikit-learn: most to learn from, a quarter to be tested by."""

    def __init__(self):
        images, labels = load_digits(return_X_y=True)
        split = train_test_split(images, labels, test_size=0.25, random_state=0, stratify=labels)
        self.train_images, self.test_images, self.train_labels, self.test_labels = split


class Scaler:
    """Brings every pixel to mean 0 and deviation 1, as seen in the training images."""

    def __init__(self, loader):
        self.fitted = StandardScaler().fit(loader.train_images)


class Classifier:
    """Trains an estimator on the scaled digits."""

    def __init__(self, loader, scaler):
        self.labels, self.scaler = loader.train_labels, scaler.fitted
        self.images = self.scaler.transform(loader.train_images)

    def train(self, estimator):
        return Pipeline(
            [("scaler", self.scaler), ("model", estimator.fit(self.images, self.labels))]
        )


class Scorer:
    """Says how many of the test digits a pipeline gets right, from 0 to 1."""

    def __init__(self, loader):
        self.images, self.labels = loader.test_images, loader.test_labels

    def accuracy(self, pipeline):
        return float((pipeline.predict(self.images) == self.labels).mean())


# ---- the three steps ----------------------------------------------------------------------------


def make_pool():
    """A pool of the four.  Nothing is built yet: that happens when something is borrowed."""
    pool = exia.Pool("digits")
    pool.add("loader", Loader)  # one object, shared by all who borrow it
    pool.add("scaler", Scaler, needs=("loader",))
    pool.add("classifier", Classifier, needs=("loader", "scaler"), max=2)  # two can train at once
    pool.add("scorer", Scorer, needs=("loader",))
    return pool


def run_steps(pool):
    """Train and score both models, as a DAG: what does not depend on each other runs in parallel."""
    estimators = {
        "linear": LogisticRegression(C=0.05, max_iter=1000),
        "network": MLPClassifier(hidden_layer_sizes=(32,), max_iter=500, random_state=0),
    }
    pipelines, accuracies = {}, {}

    def run(step):
        verb, kind = step.split()
        if verb == "train":
            with pool.borrow("classifier") as classifier:  # given back at the end of the block
                pipelines[kind] = classifier.train(estimators[kind])
        else:
            with pool.borrow("scorer") as scorer:
                accuracies[kind] = scorer.accuracy(pipelines[kind])

    steps = exia.Dag({f"score {kind}": [f"train {kind}"] for kind in estimators})
    report = steps.run(run, threads=2)  # a row a step; raises what a step raised
    return report, pipelines, accuracies


def write_versions(pipelines, accuracies):
    """Keep each pipeline as the next version of "digits": the Python object and its bare weights."""
    library = exia.Library()
    return {
        kind: library.write(
            "digits",
            pipeline,
            parts={"weights": weights(pipeline)},
            metrics={"accuracy": accuracies[kind]},
            tags={"kind": kind},
            message=f"the {kind} model of the demo",
        )
        for kind, pipeline in pipelines.items()
    }


def weights(pipeline):
    """What a program without Python needs: the scaler and the layers as plain arrays."""
    scaler, model = pipeline["scaler"], pipeline["model"]
    if isinstance(model, MLPClassifier):
        layers = list(zip(model.coefs_, model.intercepts_))
    else:
        layers = [(model.coef_.T, model.intercept_)]  # a linear model is a network of one layer
    tensors = {"mean": scaler.mean_, "scale": scaler.scale_, "classes": model.classes_}
    for number, (weight, bias) in enumerate(layers):
        tensors[f"weight.{number}"], tensors[f"bias.{number}"] = weight, bias
    return tensors
