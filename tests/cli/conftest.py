"""What the tests of vedapkg share."""

import pytest
from vedapkg_tool import COMMANDS, Tool


@pytest.fixture
def tool(tmp_path):
    return Tool(tmp_path)


@pytest.fixture(params=COMMANDS, ids=[row["name"] for row in COMMANDS])
def command(request):
    """Each row of the table of commands in turn."""
    return request.param
