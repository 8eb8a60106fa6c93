#!/bin/sh
# The official image is built with the default "protected-mode no", Debian's with yes: without a password it
# would refuse other pods. A setting in the file or among the arguments still counts: this one comes first.
case ${1:-} in
  '' | -*) exec /usr/bin/redis-server --protected-mode no "$@" ;;
esac
file=$1
shift
if grep -qs '^ *protected-mode' "$file"; then exec /usr/bin/redis-server "$file" "$@"; fi
exec /usr/bin/redis-server "$file" --protected-mode no "$@"
