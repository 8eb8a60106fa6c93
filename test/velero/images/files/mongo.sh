#!/usr/bin/env bash
# What the entrypoint of the official image does: root gives the folders to mongodb and becomes it; an empty
# dbpath gets the user of MONGO_INITDB_ROOT_USERNAME and _PASSWORD. There is no mongosh, so the files in
# /docker-entrypoint-initdb.d can be shell scripts only.
set -Eeuo pipefail

file_env() {
  local file="$1_FILE"
  if [ -n "${!file:-}" ]; then export "$1=$(<"${!file}")"; fi
  unset "$file"
}

# value_of FLAG ARGUMENTS…: the value of --flag VALUE or --flag=VALUE
value_of() {
  local flag=$1
  shift
  while [ $# -gt 0 ]; do
    case $1 in
      "$flag") echo "${2:-}"; return ;;
      "$flag"=*) echo "${1#*=}"; return ;;
    esac
    shift
  done
}

# without_access ARGUMENTS…: sets $args to those without authentication, replication and addresses
without_access() {
  args=()
  while [ $# -gt 0 ]; do
    case $1 in
      --auth | --bind_ip_all) ;;
      --keyFile | --replSet | --bind_ip | --port) shift ;;
      --keyFile=* | --replSet=* | --bind_ip=* | --port=*) ;;
      *) args+=("$1") ;;
    esac
    shift
  done
}

config_binds() {
  local config
  config=$(value_of --config "$@")
  [ -n "$config" ] || config=$(value_of -f "$@")
  [ -n "$config" ] && grep -Eq '^ *(bindIp|bindIpAll|net\.bindIp)' "$config"
}

initialize() {
  local file log="/proc/$$/fd/1"
  [ -w "$log" ] || log=$dbpath/docker-initdb.log
  without_access "$@"
  "${args[@]}" --bind_ip 127.0.0.1 --port 27017 --fork --logpath "$log" --logappend --pidfilepath "$dbpath/.init.pid"
  if [ -n "$MONGO_INITDB_ROOT_USERNAME" ]; then mongo-admin create-root; fi
  for file in /docker-entrypoint-initdb.d/*.sh; do
    if [ -e "$file" ]; then . "$file"; fi
  done
  "${args[@]}" --shutdown
  rm -f "$dbpath/.init.pid"
  printf '\nMongoDB init process complete; ready for start up.\n\n'
}

if [ "${1:0:1}" = - ]; then set -- mongod "$@"; fi
if [ "${1:-}" = mongod ]; then
  if [ "$(id -u)" = 0 ]; then
    find /data/configdb /data/db \! -user mongodb -exec chown mongodb '{}' +
    chown --dereference mongodb "/proc/$$/fd/1" "/proc/$$/fd/2" || :
    exec setpriv --reuid=mongodb --regid=mongodb --init-groups "${BASH_SOURCE[0]}" "$@"
  fi
  file_env MONGO_INITDB_ROOT_USERNAME
  file_env MONGO_INITDB_ROOT_PASSWORD
  : "${MONGO_INITDB_ROOT_USERNAME:=}" "${MONGO_INITDB_ROOT_PASSWORD:=}"
  dbpath=$(value_of --dbpath "$@")
  : "${dbpath:=/data/db}"
  if [ -n "$MONGO_INITDB_ROOT_USERNAME" ] && [ -n "$MONGO_INITDB_ROOT_PASSWORD" ]; then
    set -- "$@" --auth
    if [ ! -e "$dbpath/WiredTiger" ] && [ ! -e "$dbpath/storage.bson" ]; then initialize "$@"; fi
  elif [ -n "$MONGO_INITDB_ROOT_USERNAME$MONGO_INITDB_ROOT_PASSWORD" ]; then
    echo 'error: MONGO_INITDB_ROOT_USERNAME and MONGO_INITDB_ROOT_PASSWORD are needed, both or neither' >&2
    exit 1
  fi
  # Without an address mongod listens on loopback only.
  case " $* " in
    *' --bind_ip'*) ;;
    *) config_binds "$@" || set -- "$@" --bind_ip_all ;;
  esac
  unset "${!MONGO_INITDB_@}"
fi
exec "$@"
