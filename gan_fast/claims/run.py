"""Claims are run in processes of one thread each, and what was seen is kept: a JSON and a picture a claim.

    <out>/<name>.json    figures of each seed, CPU time, date, device, and the key of what was run
    <out>/<name>.webp    the picture of the first seed

The key is a hash of the experiment's code, what it measures, its seeds and the package's version: what has it is not
run again. Words and bounds are no part of it.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import io
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from PIL import Image

from gan_fast.claims.claim import Claim
from gan_fast.ops.autotune import device_name, version_of
from gan_fast.training.checkpoint import write_atomically


@dataclass(frozen=True)
class Result:
    """What was seen of a claim.

    Attributes:
        key: of what was run.
        seen: for each seed the figures by their names.
        seconds: CPU time.
        date, device: when and where.
    """

    key: str
    seen: tuple[dict[str, float], ...]
    seconds: float
    date: str
    device: str


def seeds_of(claim: Claim, seeds: int) -> range:
    return range(1 if claim.once else seeds)


def holds(claim: Claim, result: Result) -> bool:
    """Whether the claim holds with every seed."""
    return all(map(claim.holds, result.seen))


def load(claim: Claim, seeds: int, out: Path) -> Result | None:
    """What was seen of this very experiment; None where it has not been run, or not to its end."""
    try:
        fields = json.loads((out / f"{claim.name}.json").read_text())
        result = Result(**{**fields, "seen": tuple(fields["seen"])})
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None
    return result if result.key == _key(claim, seeds) and picture_of(claim, out).is_file() else None


def picture_of(claim: Claim, out: Path) -> Path:
    return out / f"{claim.name}.webp"


def forget(claims: Sequence[Claim], out: Path) -> None:
    """Delete what was seen of these claims."""
    for claim in claims:
        (out / f"{claim.name}.json").unlink(missing_ok=True)


def run(
    claims: Sequence[Claim],
    seeds: int,
    out: Path,
    jobs: int = 1,
    report: Callable[[Claim], object] = lambda claim: None,
) -> dict[str, Result | Exception]:
    """Run what has not been run, and return for each claim what was seen, or what went wrong, which is not kept.

    Args:
        claims: of `gan_fast.claims.CLAIMS` where there are several jobs.
        seeds: how many, from 0.
        out: the folder of the results; another run goes on with what is there.
        jobs: processes.
        report: called with each claim that is done.
    """
    out.mkdir(parents=True, exist_ok=True)
    kept = {claim.name: load(claim, seeds, out) for claim in claims}
    todo = [claim for claim in claims if kept[claim.name] is None]
    for claim in claims:
        if kept[claim.name]:
            report(claim)
    results: dict[str, Result | Exception] = {name: result for name, result in kept.items() if result}
    for claim, result in _run(todo, seeds, out, jobs):
        results[claim.name] = result
        report(claim)
    return {claim.name: results[claim.name] for claim in claims}


def play(claim: Claim, seeds: int, out: Path, key: str) -> Result:
    """Run a claim's experiment with each seed, and keep what was seen under its key."""
    torch.set_num_threads(1)
    start = time.process_time()
    seen = [claim.experiment(seed) for seed in seeds_of(claim, seeds)]
    names = [figure.name for figure in claim.figures]
    result = Result(
        key,
        tuple(dict(zip(names, each.values, strict=True)) for each in seen),
        time.process_time() - start,
        f"{datetime.now(UTC):%Y-%m-%d}",
        device_name(torch.device("cpu")),
    )
    data = _encode(seen[0].picture)
    write_atomically(picture_of(claim, out), lambda file: file.write(data))
    text = json.dumps(asdict(result), indent=1).encode()
    write_atomically(out / f"{claim.name}.json", lambda file: file.write(text))
    return result


def _run(todo: Sequence[Claim], seeds: int, out: Path, jobs: int) -> Iterator[tuple[Claim, Result | Exception]]:
    keys = {claim.name: _key(claim, seeds) for claim in todo}  # of the code as it is now, whoever edits it meanwhile
    if jobs == 1:
        for claim in todo:
            yield claim, _outcome(lambda claim=claim: play(claim, seeds, out, keys[claim.name]))
        return
    # Not forked, as threads of torch do not survive it.
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        running = {pool.submit(_play_by_name, claim.name, seeds, out, keys[claim.name]): claim for claim in todo}
        for done in as_completed(running):
            yield running[done], _outcome(done.result)


def _outcome(call: Callable[[], Result]) -> Result | Exception:
    try:
        return call()
    except Exception as error:  # whatever an experiment raises is what is seen of it
        return error


def _play_by_name(name: str, seeds: int, out: Path, key: str) -> Result:
    from gan_fast.claims import CLAIMS

    return play(CLAIMS[name], seeds, out, key)


def _key(claim: Claim, seeds: int) -> str:
    function = ast.parse(inspect.getsource(claim.experiment)).body[0]
    function.decorator_list.clear()
    if claim.how:
        del function.body[0]
    names = [figure.name for figure in claim.figures]
    parts = [ast.unparse(function), *names, str(len(seeds_of(claim, seeds))), version_of("gan_fast")]
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()


def _encode(picture: Image.Image) -> bytes:
    """WebP, with or without loss, whichever is smaller: curves are the latter."""
    found = []
    for options in ({"lossless": True}, {"quality": 80}):
        data = io.BytesIO()
        picture.save(data, "webp", method=6, **options)
        found.append(data.getvalue())
    return min(found, key=len)
