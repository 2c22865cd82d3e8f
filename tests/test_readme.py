"""The README's example runs as written; files that README and CONTRIBUTING name exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README, CONTRIBUTING = ((ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md"))


def test_the_example_gives_what_its_comments_say() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict = {}
    exec(example, names)  # text of this project
    path = names["path"]
    assert path.similarity([0.1, 0.3]).tolist() == [0.625, 0.625]
    assert path.maximum_match(0.3).x.tolist() == list(range(40))
    assert path.maximum_match(0.3).y.tolist() == list(range(40))


def test_every_file_it_names_exists() -> None:
    named = re.findall(r"\]\(([\w/.]+\.png)\)", README)
    named += re.findall(r"`((?:config|tests|subspace_match|benchmarks|docs)/[\w/.]+)`", README)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def homes(name: str) -> list[Path]:
    """Return where a file of the guide can be; a file to add, NAME, needs only its folder."""
    paths = [ROOT / "subspace_match" / name, ROOT / name]
    return [path.parent if "NAME" in path.stem else path for path in paths]


def test_each_task_of_the_contributing_guide_touches_at_most_three_files() -> None:
    tasks = dict(re.findall(r"^\| (.*) \| (.*/.*) \|$", CONTRIBUTING, re.MULTILINE))
    assert len(tasks) == 10
    files = {task: re.findall(r"`([\w/]+/[\w.]+)`", cell) for task, cell in tasks.items()}
    assert [task for task in tasks if not 1 <= len(files[task]) <= 3] == []
    named = [name for own in files.values() for name in own]
    assert [name for name in named if not any(home.exists() for home in homes(name))] == []
