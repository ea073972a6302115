/** Images of real servers: the node's program with the configuration that the image of that name has. */
import type { HostImage } from './host-image.ts'

const nginxConf = (user: string, pid: string): string => `${user}worker_processes auto;
error_log /var/log/nginx/error.log notice;
pid ${pid};
events { worker_connections 1024; }
http {
  include /etc/nginx/mime.types;
  default_type application/octet-stream;
  log_format main '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" "$http_x_forwarded_for"';
  access_log /var/log/nginx/access.log main;
  client_body_temp_path /tmp/client_temp;
  proxy_temp_path /tmp/proxy_temp;
  fastcgi_temp_path /tmp/fastcgi_temp;
  uwsgi_temp_path /tmp/uwsgi_temp;
  scgi_temp_path /tmp/scgi_temp;
  sendfile on;
  keepalive_timeout 65;
  include /etc/nginx/conf.d/*.conf;
}
`
const nginxServer = (port: number): string => `server {
  listen ${port};
  server_name localhost;
  location / {
    root /usr/share/nginx/html;
    index index.html index.htm;
  }
  error_page 500 502 503 504 /50x.html;
  location = /50x.html { root /usr/share/nginx/html; }
}
`
const nginxPage = `<!DOCTYPE html>
<html>
<head><title>Welcome to nginx!</title></head>
<body>
<h1>Welcome to nginx!</h1>
<p>This page is served by the node's own nginx, in a pod of coxswain.</p>
</body>
</html>
`
const nginxFiles = (user: string, pid: string, port: number): HostImage['files'] => ({
  '/etc/nginx/nginx.conf': { content: nginxConf(user, pid) },
  '/etc/nginx/conf.d/default.conf': { content: nginxServer(port) },
  '/usr/share/nginx/html/index.html': { content: nginxPage },
  '/usr/share/nginx/html/50x.html': { content: '<!DOCTYPE html>\n<title>Error</title>\n<h1>An error occurred.</h1>\n' },
  '/var/log/nginx/access.log': { symlink: '/dev/stdout' },
  '/var/log/nginx/error.log': { symlink: '/dev/stderr' },
})

export const nginx: HostImage = {
  names: ['nginx'],
  cmd: ['nginx', '-g', 'daemon off;'],
  requires: [{ binary: 'nginx', package: 'nginx-light' }],
  files: nginxFiles('user www-data;\n', '/run/nginx.pid', 80),
}

export const nginxUnprivileged: HostImage = {
  names: ['nginxinc/nginx-unprivileged', 'nginx/nginx-unprivileged', 'nginx-unprivileged'],
  cmd: ['nginx', '-g', 'daemon off;'],
  user: '101:101',
  requires: [{ binary: 'nginx', package: 'nginx-light' }],
  files: nginxFiles('', '/tmp/nginx.pid', 8080),
}

export const redis: HostImage = {
  names: ['redis', 'valkey', 'valkey/valkey'],
  entrypoint: ['docker-entrypoint.sh'],
  cmd: ['redis-server'],
  workingDir: '/data',
  requires: [{ binary: 'redis-server', package: 'redis-server' }],
  files: {
    // As in the image: options alone mean the server, and it answers to everybody in the cluster's network.
    '/usr/local/bin/docker-entrypoint.sh': {
      mode: 0o755,
      content: `#!/bin/sh
case "$1" in -*|*.conf) set -- redis-server "$@" ;; esac
[ "$1" = redis-server ] || exec "$@"
shift
config=
case "$1" in ''|-*) ;; *) config=$1; shift ;; esac
exec redis-server \${config:+"$config"} --protected-mode no "$@"
`,
    },
  },
}

export const postgres: HostImage = {
  names: ['postgres'],
  entrypoint: ['docker-entrypoint.sh'],
  cmd: ['postgres'],
  env: ['PGDATA=/var/lib/postgresql/data', 'LANG=C.UTF-8'],
  requires: [{ binary: 'pg_ctlcluster', package: 'postgresql' }],
  files: {
    // The part of the image's entry point that people use: a first start makes the database, POSTGRES_USER, _PASSWORD, _DB and
    // _HOST_AUTH_METHOD are heard.
    '/usr/local/bin/docker-entrypoint.sh': {
      mode: 0o755,
      content: `#!/bin/sh
set -e
for d in /usr/lib/postgresql/*/bin; do PATH=$d:$PATH; done
export PATH
case "$1" in -*) set -- postgres "$@" ;; esac
[ "$1" = postgres ] || exec "$@"
if [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA" /var/run/postgresql
  chown -R postgres: "$PGDATA" /var/run/postgresql
  chmod 700 "$PGDATA"
  exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  user=\${POSTGRES_USER:-postgres}
  auth=\${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
  if [ -z "$POSTGRES_PASSWORD" ] && [ "$auth" != trust ]; then
    echo 'Error: Database is uninitialized and superuser password is not specified. Set POSTGRES_PASSWORD, or POSTGRES_HOST_AUTH_METHOD=trust.' >&2
    exit 1
  fi
  pw=$(mktemp)
  printf '%s\\n' "$POSTGRES_PASSWORD" >"$pw"
  initdb -U "$user" --auth-local=trust --auth-host="$auth" \${POSTGRES_PASSWORD:+--pwfile="$pw"} $POSTGRES_INITDB_ARGS
  rm -f "$pw"
  echo "host all all all $auth" >>"$PGDATA/pg_hba.conf"
  pg_ctl -w start -o '-c listen_addresses='
  if [ "\${POSTGRES_DB:-$user}" != postgres ]; then createdb -U "$user" "\${POSTGRES_DB:-$user}"; fi
  for f in /docker-entrypoint-initdb.d/*.sql; do if [ -f "$f" ]; then psql -v ON_ERROR_STOP=1 -U "$user" -d "\${POSTGRES_DB:-$user}" -f "$f"; fi; done
  pg_ctl -w -m fast stop
fi
exec "$@" -c listen_addresses='*'
`,
    },
  },
}

export const mysql: HostImage = {
  names: ['mysql', 'mariadb'],
  entrypoint: ['docker-entrypoint.sh'],
  cmd: ['mariadbd'],
  requires: [{ binary: 'mariadbd', package: 'mariadb-server' }],
  files: {
    '/usr/local/bin/docker-entrypoint.sh': {
      mode: 0o755,
      content: `#!/bin/sh
set -e
case "$1" in -*) set -- mariadbd "$@" ;; mysqld) shift; set -- mariadbd "$@" ;; esac
[ "$1" = mariadbd ] || exec "$@"
mkdir -p /var/lib/mysql /run/mysqld
chown -R mysql: /var/lib/mysql /run/mysqld
if [ ! -d /var/lib/mysql/mysql ]; then
  mariadb-install-db --user=mysql --datadir=/var/lib/mysql >/dev/null
  password=\${MYSQL_ROOT_PASSWORD:-$MARIADB_ROOT_PASSWORD}
  database=\${MYSQL_DATABASE:-$MARIADB_DATABASE}
  init=/run/mysqld/init.sql
  { echo "CREATE USER IF NOT EXISTS 'root'@'%' IDENTIFIED BY '$password'; GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;"
    if [ -n "$database" ]; then echo "CREATE DATABASE IF NOT EXISTS \\\`$database\\\`;"; fi; } >"$init"
  shift
  set -- mariadbd --init-file="$init" "$@"
fi
exec "$@" --user=mysql --bind-address=0.0.0.0
`,
    },
  },
}
