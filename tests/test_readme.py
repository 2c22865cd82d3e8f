"""The README's example runs as written, and the files that it names exist."""

import re
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_example_gives_what_its_comments_say() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict = {}
    exec(example, names)  # text of this project
    path = names["path"]
    assert path.similarity([0.1, 0.3]).tolist() == [0.625, 0.625]
    assert path.maximum_match(0.3).x.tolist() == list(range(40))
    assert path.maximum_match(0.3).y.tolist() == list(range(40))


def test_every_file_it_names_exists() -> None:
    root = Path(__file__).parents[1]
    named = re.findall(r"\]\(([\w/.]+\.png)\)", README)
    named += re.findall(r"`((?:config|tests|subspace_match|benchmarks|docs)/[\w/.]+)`", README)
    assert named
    assert [name for name in named if not (root / name).exists()] == []
