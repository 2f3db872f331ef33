#!/bin/bash
# test.sh BUILD PYTHON [SERVER...]: the tests that want a real server, on each of them.  Without a name: versitygw, which is built
# when it is not there (some minutes; where it cannot be it is skipped), and MinIO when it is there.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd) python=$2
shift 2
export PYTHON=$python EXIA_SERVERS_DIR=${EXIA_SERVERS_DIR:-$HOME/.cache/exia-servers}
skip() { echo "[  SKIPPED ] 1 test(s): the server $1, $2"; }
if [ $# -eq 0 ]; then
    if "$here/versitygw.sh" install; then set -- versitygw; else skip versitygw "which cannot be built here"; fi
    if "$here/minio.sh" built; then set -- "$@" minio; else skip minio "for tests/servers/minio.sh install was never run"; fi
fi
directory=$(mktemp -d)
trap 'for d in "$directory"/*/; do [ ! -d "$d" ] || "$here/$(basename "$d").sh" stop "$d"; done; rm -rf "$directory"' EXIT
export EXIA_DRIVER_PATH=$build/exia
failed=0
for name; do
    "$here/$name.sh" install
    url=$("$here/$name.sh" start "$directory/$name")
    echo "$name on ${url##*@}"
    export EXIA_TEST_S3_URL=$url EXIA_TEST_S3_SERVER="$here/$name.sh" EXIA_TEST_S3_DIRECTORY=$directory/$name
    for test in "$build"/tests/test_driver_s3 "$build"/tests/test_s3_{server,proxy,wrong,url}; do
        [ -x "$test" ] || continue
        "$test" 2>&1 | sed '/^\[ RUN /d; /^\[       OK /d' || failed=1
    done
    VEDAPKG=$build/vedapkg "$python" -m pytest -q -p no:cacheprovider "$here"/../cli/test_vedapkg_s3.py || failed=1
    "$here/$name.sh" stop "$directory/$name"
done
exit $failed
