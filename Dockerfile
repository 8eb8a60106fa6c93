# One image for the sidecar, the shim that Velero execs, and prepare-restore. It needs no shell.
# docs/image.md describes its contents and how to run it.
#
#   docker build -t quiesce .
#   docker build --build-arg BUILD_IMAGE=registry.example/node:24 \
#     --build-arg RUNTIME_IMAGE=registry.example/node:24-slim \
#     --build-arg NODE_PATH_IN_RUNTIME=/usr/local/bin/node -t quiesce .
#
# BUILD_IMAGE needs Node 20.19 or newer, with npm on PATH, and /bin/sh. RUNTIME_IMAGE needs only Node
# 20.19 or newer at NODE_PATH_IN_RUNTIME: /nodejs/bin/node in distroless images, /usr/local/bin/node in
# Node's official ones, /usr/bin/node in Debian and its derivatives.
ARG BUILD_IMAGE=docker.io/library/node:24-bookworm-slim
ARG RUNTIME_IMAGE=gcr.io/distroless/nodejs24-debian12:nonroot

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY package.json package-lock.json ./
# Installs esbuild but no other development tool, and none of the demo's PostgreSQL servers. Not with
# --omit=optional: esbuild's own binary is an optional dependency. npm ci takes every package from
# package-lock.json, by its hash, and accepts a lock with more packages than package.json lists.
RUN esbuild="$(npm pkg get devDependencies.esbuild | tr -d '"')" \
 && npm pkg delete devDependencies optionalDependencies \
 && npm pkg set "dependencies.esbuild=${esbuild}" \
 && npm ci --ignore-scripts --no-audit --no-fund
COPY . .
ARG NODE_PATH_IN_RUNTIME=/nodejs/bin/node
RUN node scripts/build.mjs --outdir /out/usr/lib/quiesce \
 && node scripts/image-root.mjs /out "${NODE_PATH_IN_RUNTIME}"

FROM ${RUNTIME_IMAGE}
COPY --from=build /out /
# A pod may run it as any other user, such as the database's: this user owns nothing in the image.
USER 65532:65532
# Runs without a shell. A runtime image whose Node is elsewhere or too old fails here, not in a pod.
RUN ["/usr/bin/quiesce", "--version"]
# The only folders that are written; the rest of the image's file system may be read-only.
VOLUME ["/run/quiesce", "/var/lib/quiesce"]
# A call on a hanging volume occupies one of these threads, and a lookup of a server's name needs one.
ENV UV_THREADPOOL_SIZE=16
EXPOSE 9095
ENTRYPOINT ["/usr/bin/quiesce"]
CMD ["sidecar"]
