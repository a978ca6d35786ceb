"""The installed command keeps to its own packages when the current folder has others of the same names."""

import subprocess
import sys
from pathlib import Path


def test_decoy_packages_in_the_current_folder(tmp_path):
    for name in ("hdl", "sim"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('decoy')\n")
    command = Path(sys.executable).parent / "spikeloom"
    shown = subprocess.run([command, "--version"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (shown.returncode, shown.stdout.strip()) == (0, "0.1.0")
    shadowed = subprocess.run(
        [command, "--version"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert shadowed.returncode == 2
    assert "shadowed" in shadowed.stderr
