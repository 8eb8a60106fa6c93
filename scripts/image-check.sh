#!/usr/bin/env bash
# Builds the image on this machine and proves the statements of docs/image.md in containers. Needs
# neither an image registry nor Docker: uses buildah and podman, on bases made of Debian and this
# machine's Node.
#
#   npm ci && scripts/image-check.sh
#   BUILD_IMAGE=… RUNTIME_IMAGE=… NODE_PATH_IN_RUNTIME=… scripts/image-check.sh   # real bases
#
# Needs root on Debian and about 1.5 GB in $TMPDIR, and leaves nothing behind there. Installs missing
# tools with apt.
set -euo pipefail
cd "$(dirname "$0")/.."
repository=$PWD
export LC_ALL=C
PGMAJOR=${PGMAJOR:-17}

say() { printf '== %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }
# expect WHAT EXIT COMMAND…: runs the command, whose output is then in $out and $err
expect() {
  local what=$1 wanted=$2 got=0
  shift 2
  "$@" >"$work/out" 2>"$work/err" || got=$?
  out=$(<"$work/out") err=$(<"$work/err")
  [ "$got" = "$wanted" ] || fail "$what: exit $got instead of $wanted: $out $err"
  printf '   %-44s exit %s  %s\n' "$what" "$got" "$(printf '%s' "$out$err" | head -1 | cut -c1-110)"
}
lines() { printf '%s\n' "$1" | wc -l; }

work=$(mktemp -d "${TMPDIR:-/tmp}/quiesce-image.XXXXXX")
chmod 755 "$work"
export CONTAINERS_STORAGE_CONF=$work/storage.conf
printf '[storage]\ndriver = "overlay"\ngraphroot = "%s/storage"\nrunroot = "%s/run"\n' \
  "$work" "$work" >"$CONTAINERS_STORAGE_CONF"
server=
cleanup() {
  if [ -n "$server" ]; then kill "$server" 2>/dev/null && wait "$server" || true; fi
  podman rm --all --force --volumes --time 0 >/dev/null 2>&1 || true
  podman rmi --all --force >/dev/null 2>&1 || true
  umount "$work/storage/overlay" 2>/dev/null || true
  rm -rf --one-file-system "$work"
}
trap cleanup EXIT

limits=(--runtime runc --ulimit nofile=1024:4096 --ulimit nproc=1024:4096)
PATHS=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

need=()
for program in buildah podman runc debootstrap curl; do
  command -v "$program" >/dev/null || need+=("$program")
done
if [ ${#need[@]} -gt 0 ]; then
  say "apt-get install ${need[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${need[@]}" >/dev/null
fi

base_of() { # base_of FOLDER NAME [buildah config flags]: an image of one layer
  local folder=$1 name=$2 container
  shift 2
  container=$(buildah from scratch)
  buildah add -q "$container" "$folder" / >/dev/null
  buildah config --env "PATH=$PATHS" "$@" "$container"
  buildah commit -q --rm "$container" "$name" >/dev/null
}

make_build_base() {
  say 'build base: Debian (debootstrap) with this machine'"'"'s node and npm'
  local root=$work/build node npm
  node=$(readlink -f "$(command -v node)")
  npm=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")
  debootstrap --variant=minbase --include=ca-certificates,libstdc++6 bookworm "$root" \
    >"$work/debootstrap.log" 2>&1 || { tail -5 "$work/debootstrap.log" >&2; fail debootstrap; }
  cp "$node" "$root/usr/local/bin/node"
  mkdir -p "$root/usr/local/lib/node_modules"
  cp -a "$npm" "$root/usr/local/lib/node_modules/npm"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/local/bin/npm"
  # The machine may be behind a proxy with its own CA: the build trusts the CAs of the machine.
  cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
  base_of "$root" localhost/quiesce-build-base \
    --env NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt \
    --env "NPM_CONFIG_REGISTRY=$(npm config get registry 2>/dev/null)"
  rm -rf "$root"
}

make_runtime_base() {
  say 'runtime base: node and its libraries, no shell, as in distroless'
  local root=$work/runtime library
  mkdir -p "$root/nodejs/bin" "$root/etc/ssl/certs" "$root/tmp" "$root/home/nonroot"
  chmod 1777 "$root/tmp"
  cp "$(readlink -f "$(command -v node)")" "$root/nodejs/bin/node"
  for library in $(ldd "$root/nodejs/bin/node" | grep -o '/[^ ]*'); do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
  done
  cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532::/home/nonroot:/sbin/nologin\n' \
    >"$root/etc/passwd"
  printf 'root:x:0:\nnonroot:x:65532:\n' >"$root/etc/group"
  base_of "$root" localhost/quiesce-runtime-base --user 65532
  rm -rf "$root"
}

if [ -z "${BUILD_IMAGE:-}" ]; then make_build_base; BUILD_IMAGE=localhost/quiesce-build-base; fi
if [ -z "${RUNTIME_IMAGE:-}" ]; then make_runtime_base; RUNTIME_IMAGE=localhost/quiesce-runtime-base; fi
NODE_PATH_IN_RUNTIME=${NODE_PATH_IN_RUNTIME:-/nodejs/bin/node}

build() { # build TAG NODE
  buildah bud --network host "${limits[@]}" --build-arg "BUILD_IMAGE=$BUILD_IMAGE" \
    --build-arg "RUNTIME_IMAGE=$RUNTIME_IMAGE" --build-arg "NODE_PATH_IN_RUNTIME=$2" -t "$1" .
}
say "buildah bud, from $BUILD_IMAGE and $RUNTIME_IMAGE"
build localhost/quiesce "$NODE_PATH_IN_RUNTIME" >"$work/build.log" 2>&1 ||
  { tail -20 "$work/build.log" >&2; fail build; }
expect 'a wrong NODE_PATH_IN_RUNTIME fails the build' 1 build localhost/none /no/such/node

say 'contents'
for image in localhost/quiesce "$RUNTIME_IMAGE"; do
  podman image inspect "$image" --format "   $image {{.Size}} bytes"
done
container=$(buildah from localhost/quiesce)
mounted=$(buildah mount "$container")
du -sh --apparent-size "$mounted/usr/lib/quiesce" | awk '{ print "   usr/lib/quiesce " $1 }'
found=$(find "$mounted" -xdev \( -name node_modules -o -name '*.map' -o -name '*.ts' -o -name .npm \
  -o -name initdb -o -name esbuild \) -not -path '*/nodejs/*' -not -path '*/usr/local/lib/*' -print)
[ -z "$found" ] || fail "must not be in the image: $found"
buildah rm "$container" >/dev/null

locked=(--read-only --read-only-tmpfs=false --cap-drop all --security-opt no-new-privileges)
begin() { # begin NAME USER [podman flags]
  local name=$1 user=$2
  shift 2
  podman run -d --name "$name" "${limits[@]}" "${locked[@]}" --network host --user "$user" \
    -e QUIESCE_ENGINE=postgres -e PGHOST=127.0.0.1 -e PGUSER=quiesce -e QUIESCE_CONTROL_ADDR=off \
    -e "QUIESCE_METRICS_ADDR=127.0.0.1:$metrics" "$@" localhost/quiesce >/dev/null
  for _ in $(seq 50); do
    [ "$(code healthz)" != 200 ] || return 0
    sleep 0.2
  done
  fail "$name does not become healthy: $(podman logs "$name" 2>&1 | tail -3)"
}
code() { curl -s -o /dev/null -w '%{http_code}' "127.0.0.1:$metrics/$1" || true; }
end() { # end NAME: SIGTERM to process 1
  local from=$EPOCHREALTIME
  podman stop --time 20 "$1" >/dev/null
  local took=$(((${EPOCHREALTIME/./} - ${from/./}) / 1000)) status
  status=$(podman inspect "$1" --format '{{.State.ExitCode}}')
  [ "$status" = 0 ] && [ "$took" -lt 5000 ] || fail "SIGTERM: exit $status after $took ms"
  printf '   %-44s exit 0  after %s ms\n' 'SIGTERM to process 1' "$took"
  podman rm --volumes "$1" >/dev/null
}
free_port() {
  node -e 'const s=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})'
}

in_memory=(--tmpfs /run/quiesce:rw,size=1m,mode=1777 --tmpfs /var/lib/quiesce:rw,size=1m,mode=1777)
for user in 65532 999 1234567:0; do
  say "user $user, read-only root, no capabilities, no database"
  metrics=$(free_port)
  mounts=("${in_memory[@]}")
  # Without mounts, the socket and the journal are in the image's own volumes.
  [ "$user" != 999 ] || mounts=()
  begin q "$user" "${mounts[@]}" -e PGPORT=1
  [ "$(code readyz)" = 503 ] || fail "readyz is $(code readyz)"
  expect 'quiesce status' 0 podman exec q quiesce status
  expect 'quiesce freeze' 5 podman exec q quiesce freeze
  [ "$(lines "$err")" = 1 ] && [ -z "$out" ] || fail "freeze prints more than one line: $out $err"
  expect 'quiesce prepare-restore --data /x' 2 podman exec q quiesce prepare-restore --data /x
  expect 'quiesce prepare-restore --data /run' 0 podman exec q quiesce prepare-restore --data /run
  if podman exec q sh -c true 2>/dev/null || podman exec q /bin/sh -c true 2>/dev/null; then
    [ "$RUNTIME_IMAGE" != localhost/quiesce-runtime-base ] || fail 'there is a shell'
    printf '   the runtime image has a shell\n'
  fi
  end q
done

say "with PostgreSQL $PGMAJOR on this machine, as its user"
mkdir "$work/pg"
cat >"$work/server.ts" <<EOF
import { EmbeddedPostgres, freePort } from '$repository/src/testbed/postgres/server.ts';
import { Client } from '$repository/node_modules/pg/lib/index.js';
import { readFileSync, writeFileSync } from 'node:fs';
const dataDir = '$work/pg/data';
const port = await freePort();
const server = await EmbeddedPostgres.at({ major: $PGMAJOR, dataDir, port, socketDir: '$work/pg/s' });
await server.own('$work/pg');
await server.initdb();
await server.start();
const admin = new Client({ host: '127.0.0.1', port, user: 'postgres', password: 'postgres', database: 'postgres' });
await admin.connect();
await admin.query(readFileSync('$repository/roles/postgres.sql', 'utf8'));
await admin.query("ALTER ROLE quiesce PASSWORD 'check'; CREATE TABLE t AS SELECT generate_series(1, 1000) AS n");
await admin.end();
process.on('SIGTERM', () => void server.stop().then(() => process.exit(0)));
writeFileSync('$work/pg/ready', [port, server.user?.uid ?? process.getuid(), server.user?.gid ?? process.getgid()].join(' ') + '\\n');
setInterval(() => undefined, 1000);
EOF
# The bundle is in node_modules, so that it finds the servers that npm installed.
bundle=$(mktemp -d node_modules/.image-check.XXXXXX)
trap 'rm -rf "$repository/$bundle"; cleanup' EXIT
node_modules/.bin/esbuild "$work/server.ts" --bundle --platform=node --format=esm --target=node20 \
  --external:pg-native --log-level=error --outfile="$bundle/server.mjs" \
  --banner:js='import { createRequire as __c } from "node:module"; const require = __c(import.meta.url);'
node "$bundle/server.mjs" &
server=$!
for _ in $(seq 200); do [ ! -s "$work/pg/ready" ] || break; sleep 0.2; done
read -r port uid gid <"$work/pg/ready" || fail 'PostgreSQL did not start'
metrics=$(free_port)
begin q "$uid:$gid" "${in_memory[@]}" -v "$work/pg/data:/data" -e QUIESCE_DATA_DIR=/data \
  -e "PGPORT=$port" -e PGDATABASE=postgres -e PGPASSWORD=check
for _ in $(seq 50); do [ "$(code readyz)" != 200 ] || break; sleep 0.2; done
receipt=$work/pg/data/.quiesce/receipt.json
expect 'quiesce freeze' 0 podman exec q quiesce freeze --timeout 25s
[ -s "$receipt" ] || fail 'no receipt next to the data'
cp -a "$work/pg/data" "$work/pg/copy"
expect 'quiesce thaw' 0 podman exec q quiesce thaw
[ ! -e "$receipt" ] || fail 'the receipt outlived the thaw'
expect 'quiesce verify' 0 podman exec q quiesce verify
expect 'quiesce freeze, then the container stops' 0 podman exec q quiesce freeze
[ -s "$receipt" ] || fail 'no receipt next to the data'
end q
[ ! -e "$receipt" ] || fail 'the receipt outlived the sidecar'
expect 'prepare-restore on the copy, as init container' 0 podman run --rm "${limits[@]}" "${locked[@]}" \
  --network none --user "$uid:$gid" -v "$work/pg/copy:/data" localhost/quiesce prepare-restore --data /data
[ -s "$work/pg/copy/backup_label" ] || fail 'no backup_label in the copy'
say 'all checks passed'
