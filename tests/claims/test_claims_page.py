"""The page shows each claim, the ones that do not hold as such, and the picture of each."""

from pathlib import Path

from PIL import Image
from toys import TOYS

from gan_fast.claims import page, run


def test_the_page(tmp_path):
    results = run.run(TOYS, 3, tmp_path / "out")
    file = tmp_path / "docs" / "toys.md"
    page.write(file, {"Toys": TOYS}, results, tmp_path / "out")
    text = file.read_text()
    assert "| Toys | [A seed is what it is.](#true-one) | holds |" in text
    assert "| Toys | [Seeds are less than one.](#false-one) | **does not show** |" in text
    assert "| seed | 0 to 9 | 0 | 1 | 2 |" in text
    assert "| its \\| square |  | 0 | 1 | 4 |" in text
    assert "| seed | at most 0.5 | 0 | **1** | **2** |" in text
    assert "It was not true in the first place." in text
    assert "**Failed**: RuntimeError: it broke" in text
    assert "*Peano 1889*" in text
    assert "The seed is looked at.\n" in text
    assert results["true-one"].date in text
    assert results["true-one"].device in text
    for name in ("true-one", "false-one"):
        assert f"![{name}](images/toys/{name}.webp)" in text
        with Image.open(tmp_path / "docs" / "images" / "toys" / f"{name}.webp") as picture:
            assert picture.size == (20, 10)
    assert "broken-one.webp" not in text


def test_the_page_in_docs_is_of_these_claims():
    """And of all of them, with their words as they are now."""
    from gan_fast.claims import CLAIMS

    docs = Path(__file__).parents[2] / "docs"
    text = (docs / "claims.md").read_text()
    for claim in CLAIMS.values():
        for words in (f"### {claim.name}\n", claim.sentence, claim.source, claim.how, claim.unmet):
            assert words in text, claim.name
        assert (docs / "images" / "claims" / f"{claim.name}.webp").is_file()
    assert len(list((docs / "images" / "claims").iterdir())) == len(CLAIMS)
    assert sum(p.stat().st_size for p in (docs / "images" / "claims").iterdir()) < 600_000
