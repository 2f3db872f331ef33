#!/bin/sh
# MinIO, its last source (AGPL-3.0; only run here, as a program of its own).
set -eu
name=minio version=v0.0.0-20260212201848-7aac2a2c5b7c package=github.com/minio/minio
. "$(dirname "$0")/server.sh"
run() {
    export MINIO_ROOT_USER=$user MINIO_ROOT_PASSWORD=$secret MINIO_SITE_REGION=us-east-1 HOME="$directory"
    export MINIO_BROWSER=off MINIO_UPDATE=off MINIO_CALLHOME_ENABLE=off
    exec "$program" server "$directory/data" --address "127.0.0.1:$port" --quiet ${tls:+--certs-dir "$tls"}
}
healthy() { answers /minio/health/cluster; }
main "$@"
