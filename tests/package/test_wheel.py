"""The wheel and the source distribution, and the wheel alone in a fresh environment."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from parallel import make_once, shared_by_test_processes

PROJECT = Path(__file__).parents[2]
PIP = (sys.executable, "-m", "pip")
NEWEST, OLDEST = 13, 11  # minor versions of Python 3 that the package supports
HEAVY = ("dvc", "matplotlib", "numba", "pandas", "snakemake", "torch", "yaml", "zarr")


@dataclass(frozen=True)
class Environment:
    """A fresh environment with the wheel and what it requires, nothing else."""

    wheel: Path
    folder: Path

    def run(self, *command: str, program: str = "python") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.folder / "bin" / program, *command],
            cwd=self.folder,
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    def output(self, *command: str, program: str = "python") -> str:
        result = self.run(*command, program=program)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def loaded(self, code: str) -> set[str]:
        """Return the top-level modules that a process has loaded after some code."""
        code += "; import sys; print(*{name.partition('.')[0] for name in sys.modules})"
        return set(self.output("-c", code).split())


def clean_environment() -> dict[str, str]:
    """Variables without those that change where Python looks and whether it keeps bytecode."""
    kept = {name: v for name, v in os.environ.items() if not name.startswith("PYTHON")}
    # Numba compiles everything for this environment. To optimise it would take half as long again,
    # and what is not optimised at all (0) cannot be cached, so each program would compile it.
    return kept | {"NUMBA_OPT": "1"}


def newest_python() -> str:
    """Return the newest supported interpreter on the PATH or of pyenv, else the running one."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    for minor in range(NEWEST, OLDEST - 1, -1):
        found = [shutil.which(f"python3.{minor}"), *versions.glob(f"3.{minor}.*/bin/python3")]
        for python in filter(None, found):
            command = [python, "-c", "import venv"]
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return str(python)
    return sys.executable


@pytest.fixture(scope="session")
def light(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel of this source tree in an environment without extras."""
    folder = shared_by_test_processes(tmp_path_factory) / "wheel"
    make_once(folder, _install)
    (wheel,) = folder.glob("*.whl")
    return Environment(wheel, folder / "light")


def _install(folder: Path) -> None:
    source = folder / "source"  # building leaves files beside the sources
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PROJECT / "subspace_match", source / "subspace_match", ignore=ignore)
    (source / "tests").mkdir()
    (source / "tests" / "test_nothing.py").touch()
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, source)

    def call(*command: str | Path) -> None:
        done = subprocess.run(
            command, env=clean_environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    # The wheel is built from the source distribution, so that nothing is missing there.
    call(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, source)
    (wheel,) = folder.glob("*.whl")
    # A pip of its own would take longer to install than the wheel.
    call(newest_python(), "-m", "venv", "--without-pip", folder / "light")
    install = ("install", "--quiet", "--no-compile", "-c", PROJECT / "constraints.txt")
    call(*PIP, "--python", folder / "light" / "bin" / "python", *install, wheel)


def test_the_light_environment_is_small_and_consistent(light: Environment) -> None:
    """Apart from caches of bytecode, which Python writes later."""
    files = (file for file in light.folder.rglob("*") if file.is_file() and not file.is_symlink())
    size = sum(file.stat().st_size for file in files if "__pycache__" not in file.parts)
    assert size < 400e6
    python = str(light.folder / "bin" / "python")
    checked = subprocess.run([*PIP, "--python", python, "check"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_the_wheel_holds_the_whole_package(light: Environment) -> None:
    with zipfile.ZipFile(light.wheel) as wheel:
        packed = {name for name in wheel.namelist() if name.startswith("subspace_match/")}
    files = (file for file in (PROJECT / "subspace_match").rglob("*") if file.is_file())
    wanted = {str(file.relative_to(PROJECT)) for file in files if "__pycache__" not in file.parts}
    assert packed == wanted


def test_the_source_distribution_holds_no_tests_without_what_they_need(light: Environment) -> None:
    (file,) = light.wheel.parent.glob("*.tar.gz")
    with tarfile.open(file) as source:
        folders = {name.split("/")[1] for name in source.getnames() if name.count("/") > 1}
    assert folders == {"subspace_match", "subspace_match.egg-info"}


def test_an_index_accepts_the_distributions(light: Environment) -> None:
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    files = sorted(file for file in light.wheel.parent.iterdir() if file.suffix in (".whl", ".gz"))
    assert [file.name for file in files] == [
        f"subspace_match-{version}-py3-none-any.whl",
        f"subspace_match-{version}.tar.gz",
    ]
    command = (sys.executable, "-m", "twine", "check", "--strict", *files)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    printed = light.output("--version", program="subspace-match")
    assert printed.strip() == version


def test_importing_the_package_loads_no_arrays(light: Environment) -> None:
    assert not light.loaded("import subspace_match") & {"numpy", "scipy", *HEAVY}


def test_a_match_path_compiles_nothing_and_loads_only_numpy_and_scipy(light: Environment) -> None:
    code = "import numpy, subspace_match as sm; x = numpy.random.default_rng(0).random((2000, 64))"
    loaded = light.loaded(f"{code}; sm.match_path(sm.reduce(x, x[::-1]))")
    assert "scipy" in loaded
    assert not loaded & set(HEAVY)


def test_the_example_of_arrays_runs(light: Environment) -> None:
    page = (PROJECT / "docs/arrays.md").read_text()
    example, *_ = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    printed = light.output("-c", f"{example}\nprint(*path.similarity([0.1, 0.3]))")
    assert printed.split() == ["0.625", "0.625"]


DOCTESTS = """
import doctest, importlib, pkgutil
import subspace_match.extras, subspace_match.matching as matching
tried = 0
for module in pkgutil.walk_packages(matching.__path__, matching.__name__ + "."):
    if not module.name.endswith("torch") and not module.name.endswith("torch_"):
        failed, attempted = doctest.testmod(importlib.import_module(module.name))
        assert not failed, module.name
        tried += attempted
print(tried)
"""


def test_the_examples_in_the_docstrings_of_the_mathematics_run(light: Environment) -> None:
    assert int(light.output("-W", "ignore", "-c", DOCTESTS).split()[-1]) > 50


def layers(folder: Path) -> tuple[str, str]:
    x = np.random.default_rng(0).normal(size=(300, 6))
    np.save(folder / "a.npy", x)
    np.save(folder / "b.npy", x[:, :3] + x[:, 3:])
    return str(folder / "a.npy"), str(folder / "b.npy")


def test_the_command_line_matches_npy_files(light: Environment, tmp_path: Path) -> None:
    options = ("--epsilon", "0.5", "0.9", "--minimal", "--null", "19")
    printed = light.output(*layers(tmp_path), *options, program="subspace-match").splitlines()
    assert printed[0] == "6 + 3 neurons, 300 samples"
    assert [line.split()[:4] for line in printed[2:4]] == [
        ["0.5", "0", "0", "0.0%"],
        ["0.9", "6", "3", "100.0%"],
    ]


CALLS = """
import json, sys
from subspace_match.cli import main
print([main(arguments) for arguments in json.loads(sys.argv[1])])
"""


def test_each_missing_extra_is_one_line_that_names_it(light: Environment, tmp_path: Path) -> None:
    a, b = layers(tmp_path)
    for name in ("c.pt", "c.safetensors"):
        (tmp_path / name).touch()
    (tmp_path / "c.zarr").mkdir()
    extras = {
        (a, b, "--out", str(tmp_path / "out")): "plots",
        (a, b, "--device", "cuda"): "torch",
        (str(tmp_path / "c.pt"), b): "torch",
        (str(tmp_path / "c.safetensors"), b): "torch",
        (str(tmp_path / "c.zarr"), b): "zarr",
        ("compare", a, b, "--data", str(tmp_path)): "torch",
        ("report", str(tmp_path)): "workflow",
        ("check",): "workflow",
        ("provenance", a): "workflow",
        ("prune",): "workflow",
    }
    result = light.run("-c", CALLS, json.dumps(list(extras)))
    assert json.loads(result.stdout) == [2] * len(extras)
    for line, extra in zip(result.stderr.splitlines(), extras.values(), strict=True):
        assert re.fullmatch(
            rf"subspace-match: error: .* needs \w+: pip install 'subspace-match\[{extra}\]'.*", line
        )
