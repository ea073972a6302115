# One image for every process of a cluster: docker-compose.yml runs them all from it.
# Behind a proxy that re-encrypts, NODE_IMAGE can be an image of your own with its certificate in it.
ARG NODE_IMAGE=node:26-bookworm-slim
ARG NATS_IMAGE=nats:2.12-alpine
ARG DEBIAN_IMAGE=debian:bookworm-slim

FROM ${NATS_IMAGE} AS nats
RUN cp "$(command -v nats-server)" /nats-server

# Anew only when the dependencies change.
FROM ${NODE_IMAGE} AS dependencies
WORKDIR /opt/coxswain
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --no-audit --no-fund

FROM dependencies AS build
COPY . .
# Each process is one file without dependencies. Starting each once, though without its flags, leaves compiled code beside it.
RUN node control-plane/cli/build.ts \
 && for name in container kube-apiserver kube-controller-manager kube-scheduler cloud-controller-manager node-agent; do \
      NODE_COMPILE_CACHE=dist/.compile-cache timeout 20 node dist/$name.js </dev/null >/dev/null 2>&1; [ $? = 1 ] || exit 1; \
    done \
 && rm dist/*.map dist/cox.js

FROM ${DEBIAN_IMAGE}
# What a node runs pods with, and what pods can run: images are the node's programs. More of them: --build-arg PROGRAMS="nginx-light python3 ...".
ARG PROGRAMS="busybox curl haproxy redis-server"
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends libatomic1 runc conmon iproute2 nftables conntrack ${PROGRAMS} >/dev/null \
 && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/*
COPY --from=nats /nats-server /usr/local/bin/nats-server
COPY --from=dependencies /usr/local/bin/node /usr/local/bin/node
WORKDIR /opt/coxswain
COPY --from=build /opt/coxswain/dist dist
COPY node-agent/init.sh node-agent/keep-agent.sh node-agent/container-init.sh node-agent/
COPY node-agent/runtime/images/programs node-agent/runtime/images/programs
# Volumes that are mounted here start as these directories, so the control plane needs no root to write its own.
RUN install -d -o 65532 -g 65532 -m 700 /var/lib/coxswain /var/lib/nats
USER 65532:65532
ENTRYPOINT ["node", "dist/container.js"]
