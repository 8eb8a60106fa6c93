# One image for the sidecar, the shim that Velero execs and prepare-restore. No shell is needed in it.
# What is in it and how to run it: docs/image.md.
#
#   docker build -t quiesce .
#   docker build --build-arg BUILD_IMAGE=registry.example/node:24 \
#     --build-arg RUNTIME_IMAGE=registry.example/node:24-slim \
#     --build-arg NODE_PATH_IN_RUNTIME=/usr/local/bin/node -t quiesce .
#
# BUILD_IMAGE needs Node 20.19 or newer with npm on PATH and /bin/sh. RUNTIME_IMAGE needs Node 20.19 or
# newer at NODE_PATH_IN_RUNTIME and nothing else: distroless images keep it at /nodejs/bin/node, the
# official ones at /usr/local/bin/node, Debian and its kin at /usr/bin/node.
ARG BUILD_IMAGE=docker.io/library/node:24-bookworm-slim
ARG RUNTIME_IMAGE=gcr.io/distroless/nodejs24-debian12:nonroot

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY package.json package-lock.json ./
# Of the development tools only esbuild, and none of the demo's PostgreSQL servers. Not
# --omit=optional: esbuild's own binary is an optional dependency. npm ci takes every package from
# package-lock.json, by its hash, and accepts a lock that holds more than package.json asks for.
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
# A pod may run it as any other user, the database's for one: nothing here belongs to this one.
USER 65532:65532
# Without a shell. A runtime image whose Node is elsewhere or too old fails here, not in a pod.
RUN ["/usr/bin/quiesce", "--version"]
# All that is ever written in the image's own file system, which may be read-only but for these.
VOLUME ["/run/quiesce", "/var/lib/quiesce"]
# A call on a volume that hangs keeps one of these threads, and looking up a server's name needs one.
ENV UV_THREADPOOL_SIZE=16
EXPOSE 9095
ENTRYPOINT ["/usr/bin/quiesce"]
CMD ["sidecar"]
