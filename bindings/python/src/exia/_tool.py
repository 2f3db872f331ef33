"""`vedapkg` on the PATH of a virtual environment: hand over to the program in this package."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn


def main() -> NoReturn:
    """Become vedapkg."""
    program = Path(__file__).with_name("vedapkg")
    os.execv(program, ["vedapkg", *sys.argv[1:]])
