import subprocess
import sys
from pathlib import Path

import numpy as np

from subspace_match.results.registry import read_networks


def test_names_and_stages_of_networks_are_read_as_text(tmp_path: Path) -> None:
    """A model called NA is no missing value, and the stage 5 no number."""
    file = tmp_path / "networks.csv"
    file.write_text(
        "model,seed,stage,accuracy,checkpoint,key\nNA,0,5,0.5,00,n0\nbase,1,10,,12,n1\n"
    )
    table = read_networks(file)
    assert table["model"].tolist() == ["NA", "base"]
    assert table["seed"].tolist() == [0, 1]
    assert table["stage"].tolist() == ["5", "10"]
    np.testing.assert_array_equal(table["accuracy"], [0.5, np.nan])
    assert table["checkpoint"].tolist() == ["00", "12"]


def test_the_registry_loads_no_pandas() -> None:
    code = "import sys, subspace_match.results.registry; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
