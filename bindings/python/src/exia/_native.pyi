"""What cffi makes of the public headers; its functions are typed where they are used."""

from typing import Any

ffi: Any
lib: Any
