#!/bin/sh
# versitygw: a server of S3 over a plain directory (Apache-2.0).  Its conditional writes are atomic only one at a time.
set -eu
name=versitygw version=v1.7.0 package=github.com/versity/versitygw/cmd/versitygw
. "$(dirname "$0")/server.sh"
run() {
    mkdir -p "$directory/users"
    export ROOT_ACCESS_KEY=$user ROOT_SECRET_KEY=$secret
    exec "$program" --port "127.0.0.1:$port" --health /health --keep-alive --quiet --iam-dir "$directory/users" \
        ${tls:+--cert "$tls/public.crt" --key "$tls/private.key"} posix --concurrency 1 "$directory/data"
}
healthy() { answers /health; }
main "$@"
