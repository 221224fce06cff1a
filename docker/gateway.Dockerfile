# The gateway, in a checkout: docker build --file docker/gateway.Dockerfile --tag gateway .
ARG BASE=docker.io/library/python:3.12-slim-bookworm@sha256:782412e85d0f0984994c290652577d4018aff08145c85b262bb63dc0c7522254

FROM ${BASE} AS build
# A tool of this stage alone.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends binutils
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/venv
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY gateway gateway
COPY export export
COPY model_repository model_repository
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/pip/bin/pip --python /opt/venv/bin/python3 install --no-compile \
      --constraint constraints.txt '.[redis,token-ids,traces]'
COPY docker/slim.sh /
RUN sh /slim.sh /opt/venv

FROM ${BASE}
ARG BASE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="triton-embeddings gateway" \
      org.opencontainers.image.description="The Mixedbread embeddings API in front of NVIDIA Triton" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
COPY docker/harden.sh /
RUN sh /harden.sh && rm /harden.sh
COPY --from=build /opt/venv /opt/venv
COPY docker/healthcheck.py /opt/healthcheck.py
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ORT_DISABLE_TELEMETRY=1 \
    HF_HUB_DISABLE_TELEMETRY=1 \
    DO_NOT_TRACK=1 \
    GATEWAY_HOST=0.0.0.0 \
    GATEWAY_OPERATIONS_PORT=9090
# No name in /etc/passwd; any other user of group 0 can do the same.
USER 10001:0
EXPOSE 8000 9090
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s CMD ["python3", "/opt/healthcheck.py"]
ENTRYPOINT ["triton-embeddings-gateway"]
