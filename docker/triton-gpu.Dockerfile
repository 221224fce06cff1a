# NVIDIA's Triton and its steps on a GPU, in a checkout: docker build --file docker/triton-gpu.Dockerfile --tag triton-gpu .
# 26.04 or later: the Python backend of older ones calls a dead step live. This one is for amd64.
ARG BASE=nvcr.io/nvidia/tritonserver:26.07-py3@sha256:551599c0812bb706121410a71abda07f9920d25e6c66edf1ec07a375e49f5f90

FROM ${BASE} AS build
WORKDIR /source
COPY constraints.txt constraints-gpu.txt docker/steps.txt docker/steps-gpu.txt ./
# What the steps import, held by tests/images/test_steps.py, and not what these packages ask for.
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m pip install --no-compile --no-deps --target /opt/steps \
      --constraint constraints.txt --constraint constraints-gpu.txt \
      --requirement steps.txt --requirement steps-gpu.txt

FROM ${BASE}
ARG BASE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="triton-embeddings Triton for GPUs" \
      org.opencontainers.image.description="NVIDIA Triton with what the steps of an exported model run on" \
      org.opencontainers.image.licenses="Apache-2.0 AND BSD-3-Clause AND MIT AND LicenseRef-NVIDIA" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
COPY docker/harden.sh /
RUN sh /harden.sh && rm /harden.sh
COPY --from=build /opt/steps /opt/steps
COPY docker/serve_triton.sh helm/triton-embeddings/files/alive.py /opt/
# Triton's own Python runs the steps: it finds them before what the base has.
ENV PYTHONPATH=/opt/steps \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    RAYON_NUM_THREADS=1 \
    ORT_DISABLE_TELEMETRY=1 \
    HF_HUB_DISABLE_TELEMETRY=1 \
    DO_NOT_TRACK=1
# Of tokenizers, not a secret.
# hadolint ignore=DL3064
ENV TOKENIZERS_PARALLELISM=false
# No name in /etc/passwd; any other user of group 0 can do the same.
USER 10001:0
EXPOSE 8000 8001 8002
HEALTHCHECK --interval=30s --timeout=25s --start-period=10m CMD ["python3", "/opt/alive.py"]
ENTRYPOINT ["sh", "/opt/serve_triton.sh"]
# As the chart has it, which gives its own.
CMD ["--model-repository=/models", "--disable-auto-complete-config", "--backend-config=python,shm-default-byte-size=33554432", \
     "--backend-config=python,shm-region-prefix-name=triton-embeddings-", \
     "--backend-config=python,stub-timeout-seconds=600"]
