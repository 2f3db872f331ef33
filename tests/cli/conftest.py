"""What the tests of vedapkg share."""

import signal

import pytest
from vedapkg_tool import COMMANDS, Tool

# In a background job of a shell it is ignored, and would be in all that is started here.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def tool(tmp_path):
    return Tool(tmp_path)


@pytest.fixture(params=COMMANDS, ids=[row["name"] for row in COMMANDS])
def command(request):
    """Each row of the table of commands in turn."""
    return request.param
