"""Claims of no interest, which take no time."""

from PIL import Image

from gan_fast.claims.claim import Figure, Seen, claim

RUNS: list[tuple[str, int]] = []
PICTURE = Image.new("RGB", (20, 10), "red")


@claim(
    "A seed is what it is.",
    source="Peano 1889",
    expects=(Figure("seed", at_least=0.0, at_most=9.0), Figure("its | square")),
)
def true_one(seed: int) -> Seen:
    """The seed is looked at."""
    RUNS.append(("true-one", seed))
    return Seen((seed, seed**2), PICTURE)


@claim(
    "Seeds are less than one.",
    source="nobody",
    expects=(Figure("seed", at_most=0.5),),
    unmet="It was not true in the first place.",
)
def false_one(seed: int) -> Seen:
    """The seed is looked at again."""
    RUNS.append(("false-one", seed))
    return Seen((seed,), PICTURE)


@claim("Nothing breaks.", source="nobody", expects=(Figure("x", at_least=0.0),), once="it does not get that far.")
def broken_one(seed: int) -> Seen:
    """It breaks."""
    RUNS.append(("broken-one", seed))
    raise RuntimeError("it broke")


TOYS = (true_one, false_one, broken_one)
