# Exports models, in a checkout: docker build --file docker/export.Dockerfile --tag export .
ARG BASE=docker.io/library/python:3.12-slim-bookworm@sha256:782412e85d0f0984994c290652577d4018aff08145c85b262bb63dc0c7522254

FROM ${BASE} AS build
# PyPI's torch for Linux brings CUDA, which an export has no use for.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/venv
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY gateway gateway
COPY export export
COPY model_repository model_repository
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/pip/bin/pip --python /opt/venv/bin/python3 install --no-compile \
      --constraint constraints.txt ${TORCH_INDEX:+--extra-index-url "${TORCH_INDEX}"} '.[export]'
COPY docker/slim.sh /
RUN sh /slim.sh /opt/venv

FROM ${BASE}
ARG BASE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="triton-embeddings export" \
      org.opencontainers.image.description="Turns a checkpoint into a verified model repository for Triton" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
COPY docker/harden.sh /
RUN sh /harden.sh && rm /harden.sh
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ORT_DISABLE_TELEMETRY=1 \
    HF_HUB_DISABLE_TELEMETRY=1 \
    DO_NOT_TRACK=1
# No name in /etc/passwd; any other user of group 0 can do the same.
USER 10001:0
ENTRYPOINT ["triton-embeddings-export"]
