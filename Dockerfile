# One image for the sidecar, the shim that Velero execs and prepare-restore. No shell is needed in it.
#
#   docker build -t quiesce .
#   docker build --build-arg RUNTIME_IMAGE=registry.example/node:24-slim -t quiesce .
#
# RUNTIME_IMAGE must have Node 20 or newer at NODE_PATH_IN_RUNTIME; distroless images keep it at
# /nodejs/bin/node, the official ones at /usr/local/bin/node.
ARG BUILD_IMAGE=node:24-bookworm-slim
ARG RUNTIME_IMAGE=gcr.io/distroless/nodejs24-debian12:nonroot

FROM ${BUILD_IMAGE} AS build
ARG NODE_PATH_IN_RUNTIME=/nodejs/bin/node
WORKDIR /src
COPY package.json package-lock.json ./
# --omit=optional would leave out esbuild's own binary too, so the database binaries of demo and
# tests are kept away by name.
RUN npm ci --ignore-scripts
COPY . .
RUN node scripts/build.mjs --outdir /out/usr/lib/quiesce \
 && node scripts/image-root.mjs /out "${NODE_PATH_IN_RUNTIME}"

FROM ${RUNTIME_IMAGE}
COPY --from=build /out /
# The database's own user replaces this one in a pod, so nothing here belongs to a user.
USER 65532:65532
# Works with a read-only root file system: only these two are written, both volumes in a pod.
VOLUME ["/run/quiesce", "/var/lib/quiesce"]
EXPOSE 9095
ENTRYPOINT ["/usr/bin/quiesce"]
CMD ["sidecar"]
