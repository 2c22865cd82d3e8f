"""The contracts in .importlinter hold, and each of them can fail."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]
# Lines that break one or two contracts, by the module that contains them.
VIOLATIONS = {
    "storage/files.py": "from ..workflow import job",
    "new_room.py": "",
    "matching/path.py": "from .null import null_paths",
    "matching/new_module.py": "",
    "matching/backends/numpy_.py": "from . import torch_",
    "workflow/file_lock.py": "def late():\n    import numpy",
    "networks/records.py": "from . import training",
    "networks/training.py": "from . import records",
}


def lint_imports(project: Path) -> subprocess.CompletedProcess[str]:
    code = "from importlinter.cli import lint_imports_command as lint; lint()"
    environment = os.environ | {"PYTHONPATH": str(project), "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-c", code, "--no-cache"],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
    )


def test_all_contracts_are_kept() -> None:
    answer = lint_imports(PROJECT)
    assert answer.returncode == 0, answer.stdout
    assert "5 kept, 0 broken" in answer.stdout


def test_every_contract_can_be_broken(tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "subspace_match", tmp_path / "subspace_match")
    shutil.copy(PROJECT / ".importlinter", tmp_path)
    for module, line in VIOLATIONS.items():
        with (tmp_path / "subspace_match" / module).open("a") as file:
            file.write(f"{line}\n")
    answer = lint_imports(tmp_path)
    assert answer.returncode == 1
    assert "0 kept, 5 broken" in answer.stdout
    for module in ("new_room", "new_module"):
        assert re.search(rf"\b{module}\b", answer.stdout), module
