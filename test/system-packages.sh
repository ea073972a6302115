#!/bin/sh
# The programs that the suite uses, from Debian's packages. Nothing is skipped for want of one: what is missing afterwards fails.
set -u
missing=
need() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing="$missing $2"; }
need nats-server nats-server
need runc runc
need conmon conmon
need ip iproute2
need nft nftables
need conntrack conntrack
need redis-server redis-server
need nginx nginx-light
need haproxy haproxy
need pg_ctlcluster postgresql
need busybox busybox
need curl curl
need unzip unzip
need wrk wrk
need nc netcat-openbsd
need dig bind9-dnsutils
/usr/bin/python3 -c "import kubernetes" 2>/dev/null || missing="$missing python3-kubernetes"
need openssl openssl
need docker-registry docker-registry
/usr/bin/python3 -c "import pytest" 2>/dev/null || missing="$missing python3-pytest"
[ -z "$missing" ] && exit 0
echo "installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
# The packages' own services would take ports that nobody asked for.
policy=/usr/sbin/policy-rc.d
[ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy && trap 'rm -f $policy' EXIT; }
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing >"$log" 2>&1 || { apt-get update -qq >>"$log" 2>&1 && apt-get install -y -qq --no-install-recommends $missing >>"$log" 2>&1; } || { tail -5 "$log" >&2; exit 1; }
rm -f "$log"
