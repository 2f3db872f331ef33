# Debian's PyTorch is the one of a fit size: it is for Debian's Python and its numpy, so it has a virtual
# environment of its own, apart from the one of the other tests.
set -eu
here=build/torch
debian=/usr/bin/python3
if ! "$debian" -c 'import torch' 2>/dev/null; then
    if [ "$(id -u)" != 0 ] || [ -n "${NO_APT:-}" ]; then
        echo "these tests need a package; run:  sudo apt-get install -y python3-torch" >&2
        exit 1
    fi
    echo "installing with apt-get: python3-torch"
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends python3-torch >/dev/null
fi
[ -e $here/bin/python ] || "$debian" -m venv --system-site-packages $here
$here/bin/python -m pip install -q --disable-pip-version-check "numpy<2" "cffi>=1.16" "setuptools>=77" \
    "cloudpickle>=3" "pytest>=8" "safetensors>=0.5"
$here/bin/python -m pip install -q --disable-pip-version-check --no-build-isolation --no-deps \
    --force-reinstall ./bindings/python
$here/bin/python -m pytest -q bindings/python/tests/test_objects_kinds.py -k torch
