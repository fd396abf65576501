# syntax=docker/dockerfile:1
#
# docker build -t precondition-proxy .
# docker run --read-only --tmpfs /tmp -p 8412:8412 -p 127.0.0.1:9412:9412 \
#        -e PROXY_UPSTREAM=http://backend:8080 precondition-proxy
#
# Configured by PROXY_* variables, or by a file mounted at /etc/precondition-proxy/proxy.yaml.
# A build that must be repeatable names the base by digest: --build-arg BASE=python:3.13-slim-trixie@sha256:...

# The official images are built with profile-guided optimisation, which the distribution's own Python need not be.
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build
WORKDIR /src
# The environment gets no pip of its own: the base's installs into it, and the image needs none.
RUN ["python", "-m", "venv", "--without-pip", "/opt/precondition-proxy"]
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY proxy ./proxy
RUN ["python", "-m", "pip", "--python", "/opt/precondition-proxy/bin/python", "install", "--no-cache-dir", \
     "--disable-pip-version-check", "--constraint", "constraints.txt", ".[tracing]"]
# Fails the build, not the first start, where something is missing.
# hadolint ignore=DL3059
RUN ["/opt/precondition-proxy/bin/precondition-proxy", "check", "--upstream", "http://localhost:8080"]

FROM ${BASE}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="precondition-proxy" \
      org.opencontainers.image.description="Gives legacy HTTP backends conditional requests: 412 instead of lost updates." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/precondition-proxy /opt/precondition-proxy
COPY deploy/image/proxy.yaml /etc/precondition-proxy/proxy.yaml
# In a variable, not as a flag: flags would win over PROXY_LISTEN and its like.
ENV PROXY_CONFIG=/etc/precondition-proxy/proxy.yaml
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
EXPOSE 8412 9412
STOPSIGNAL SIGTERM
# Python itself, for there may be no shell and no curl. Who moves the admin port gives a health check of their own.
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 \
    CMD ["/opt/precondition-proxy/bin/python", "-Ic", "import http.client, sys; c = http.client.HTTPConnection('127.0.0.1', 9412, timeout=2); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
# Exec form: the proxy is process 1, so that SIGTERM reaches it and it drains.
ENTRYPOINT ["/opt/precondition-proxy/bin/precondition-proxy"]
CMD ["serve"]
