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

fail() { echo "$name: $*" >&2; exit 1; }

install() {
    if [ -x "$program" ]; then return; fi
    command -v go >/dev/null || fail "Go is needed to build it: apt-get install golang-go"
    echo "$name: building it, which takes some minutes, once" >&2
    mkdir -p "$kept"
    scratch=$(mktemp -d "$kept/build.XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    GOBIN=$scratch CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS="-trimpath -buildvcs=false" \
        go install -ldflags "-s -w" "$package@$version" >&2 || fail "it does not build"
    mv "$scratch/$name" "$program"
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
