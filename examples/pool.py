"""A pool of Python components: one shared, one of which up to two are lent at a time."""

import exia


class Vocabulary:
    """Slow to make, so there is one for all."""

    def __init__(self):
        self.number = {word: n for n, word in enumerate("the life of an algorithm".split())}


class Tokenizer:
    """Not safe to share: each borrower gets one of its own."""

    def __init__(self, vocabulary):  # what it needs arrives as arguments
        self.vocabulary = vocabulary

    def numbers(self, text):
        return [self.vocabulary.number[word] for word in text.split()]


with exia.Pool("text") as pool:
    # In any order: nothing is built before somebody borrows.  A need of a need is fine, a cycle is
    # refused.  "collections:Counter" names a class by text, as a configuration file would.
    pool.add("tokenizer", Tokenizer, needs=("vocabulary",), max=2)
    pool.add("vocabulary", Vocabulary)
    pool.add("counter", "collections:Counter")
    print("built in this order:", pool.plan().order())

    with pool.borrow("tokenizer") as tokenizer:  # given back at the end of the block
        print(tokenizer.numbers("the algorithm of life"))

    first, second = pool.borrow("tokenizer"), pool.borrow("tokenizer")
    print("one vocabulary for both:", first.object.vocabulary is second.object.vocabulary)
    try:
        pool.borrow("tokenizer", timeout=0.01)  # both are out; without a timeout: waits
    except exia.TimeoutError as error:
        print("no third one:", error)
    first.close()
    second.discard()  # not fit for another loan: it is destroyed, the next borrower gets a new one

    for row in pool.show():
        print(row["name"], "built:", row["built"], "lent:", row["lent"])
