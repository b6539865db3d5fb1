# The command line of postcommit; runs the relay unless told otherwise:
#   docker build -t postcommit . && docker run --rm --init postcommit migrate --help
#
# Nothing here writes at run time: `docker run --read-only --cap-drop=ALL` needs no tmpfs. There is no tini: the relay
# handles SIGTERM and SIGINT itself, also as process 1, and starts no processes. The short commands handle none, so
# give them `--init` if Ctrl-C is to end them.

# Pin it by digest where builds have to repeat: --build-arg NODE_IMAGE=node@sha256:...
ARG NODE_IMAGE=node:24-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# No install scripts: they fetch the servers that only tests and demos use.
RUN --mount=type=cache,target=/root/.npm npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY scripts/clean-dist.mjs scripts/copy-page.mjs ./scripts/
COPY src ./src
RUN npm run build

FROM ${NODE_IMAGE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN --mount=type=cache,target=/root/.npm npm ci --omit=dev --ignore-scripts

FROM ${NODE_IMAGE}
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="postcommit" \
      org.opencontainers.image.description="Transactional outbox relay: PostgreSQL to NATS JetStream, every committed event once and in order." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
WORKDIR /app
ENV NODE_ENV=production \
    POSTCOMMIT_HTTP=0.0.0.0:9465
COPY --from=dependencies /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json LICENSE ./
COPY migrations ./migrations
COPY deploy/healthcheck.mjs ./healthcheck.mjs
# The user `node` by number: Kubernetes cannot tell that a name is not root (runAsNonRoot).
USER 1000:1000
EXPOSE 9465
STOPSIGNAL SIGTERM
# Liveness only: a relay that waits for PostgreSQL or NATS must not be restarted for it.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
  CMD ["node", "/app/healthcheck.mjs", "/livez"]
ENTRYPOINT ["node", "/app/dist/cli/main.js"]
CMD ["relay"]
