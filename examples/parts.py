"""Components that tell what can be set and done, and that are swapped while they are in use."""

import exia


class Scaler:
    """Scale numbers by a factor."""

    factor = exia.Attribute(float, default=1.0, check=lambda v: v > 0, doc="above 0")
    digits = exia.Attribute(int | None, default=None, doc="round to so many; None: do not")

    @exia.operation
    def transform(self, numbers: list[float]) -> list[float]:
        """Scale all of them."""
        scaled = [self.factor * number for number in numbers]
        return scaled if self.digits is None else [round(n, self.digits) for n in scaled]


class Shifter(Scaler):
    """Scale numbers by a factor, then add one."""

    def transform(self, numbers: list[float]) -> list[float]:
        return [number + 1 for number in super().transform(numbers)]


def kit(pool: exia.Pool) -> None:
    """Add the components that belong together: all of them, or there is no pool."""
    pool.add("scaler", Scaler, max=2, arguments={"factor": 2, "digits": 1})
    pool.add("numbers", lambda: [0.25, 0.5])


with exia.Pool("numbers", kit=kit) as pool:  # kit="base": an installed one, see exia.kits()
    with pool.borrow("scaler") as scaler, pool.borrow("numbers") as numbers:
        print(scaler.transform(numbers))
        try:
            scaler.factor = -1
        except exia.InvalidError as error:
            print("not set:", error)

        # The new one serves every loan from now on; this one is lent until the end of the block.
        for loan in pool.replace("scaler", Shifter):
            print("still out, taken at line", loan["where"].rpartition(":")[2])
        with pool.borrow("scaler") as shifter:
            print(shifter.transform(numbers), "but here still", scaler.transform(numbers))

    print(pool.show("scaler"))  # a table in Jupyter
