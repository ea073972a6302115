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
[ -x /usr/lib/cni/bridge ] || missing="$missing containernetworking-plugins"
need docker-registry docker-registry
/usr/bin/python3 -c "import pytest" 2>/dev/null || missing="$missing python3-pytest"

# Three nats-servers take a newer one than Debian 12 has: that of another suite, unpacked beside what npm caches.
newer=node_modules/.cache/coxswain/nats-server
replicates() { dpkg --compare-versions "$("$1" --version 2>/dev/null | sed 's/.*v//')" ge 2.10.27 2>/dev/null; }
fetch_newer() {
  echo "fetching a newer nats-server" >&2
  rm -rf "$newer"
  mkdir -p "$newer/apt/lists/partial" "$newer/apt/archives/partial"
  mirror=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -1)
  echo "deb ${mirror:-http://deb.debian.org/debian} sid main" >"$newer/apt/sources.list"
  set -- -qq -o Dir::State::Lists="$PWD/$newer/apt/lists" -o Dir::Etc::SourceList="$PWD/$newer/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o Dir::Cache="$PWD/$newer/apt" -o APT::Sandbox::User=root
  (apt-get "$@" update && cd "$newer" && apt-get "$@" download nats-server && dpkg-deb -x nats-server_*.deb . && rm -rf apt nats-server_*.deb) >&2
}
replicates nats-server || replicates "$newer/usr/sbin/nats-server" || fetch_newer || exit 1

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
