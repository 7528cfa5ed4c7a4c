"""What `podium` costs before it does anything."""

import subprocess
import sys

HEAVY = ("torch", "onnx", "onnxruntime", "scipy", "grpc", "numpy")


def test_help_imports_nothing_heavy() -> None:
    """`podium --help` answers without torch, onnxruntime, scipy, gRPC or numpy."""
    code = (
        "import sys; from podium.cli import main; code = main(['--help']); "
        f"print(code, sorted(sys.modules.keys() & {set(HEAVY)!r}), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "0 []\n" == ended.stderr
    assert "loadtest" in ended.stdout


def test_the_client_imports_no_other_part() -> None:
    """The client's wheel stands alone: neither the server nor its engines come with it."""
    code = (
        "import sys, podium.client; "
        "print(sorted({'server', 'export', 'loadtest', 'onnxruntime', 'torch'} & sys.modules.keys()))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[]\n" == ended.stdout
