# Triton and its steps on CPUs, in a checkout: docker build --file docker/triton-cpu.Dockerfile --tag triton-cpu .
ARG BASE=docker.io/library/python:3.12-slim-bookworm@sha256:782412e85d0f0984994c290652577d4018aff08145c85b262bb63dc0c7522254

FROM ${BASE} AS build
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/venv
WORKDIR /source
COPY constraints.txt docker/steps.txt ./
# What the steps import, held by tests/images/test_steps.py, and not what these packages ask for.
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/pip/bin/pip --python /opt/venv/bin/python3 install --no-compile --no-deps \
      --constraint constraints.txt --requirement steps.txt onnxruntime nvidia-pytriton
COPY docker/slim.sh docker/place_triton.sh /
RUN sh /slim.sh /opt/venv && sh /place_triton.sh /opt/venv

FROM ${BASE}
ARG BASE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="triton-embeddings Triton for CPUs" \
      org.opencontainers.image.description="NVIDIA Triton with what the steps of an exported model run on" \
      org.opencontainers.image.licenses="Apache-2.0 AND BSD-3-Clause AND MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
COPY docker/harden.sh /
RUN sh /harden.sh && rm /harden.sh
COPY --from=build /opt/venv /opt/venv
COPY docker/serve_triton.sh helm/triton-embeddings/files/alive.py /opt/
RUN ln -s /opt/venv/lib/python3.*/site-packages/pytriton/tritonserver /opt/tritonserver
ENV PATH=/opt/venv/bin:/opt/tritonserver/bin:/usr/local/bin:/usr/bin:/bin \
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
# A text by each model: this Triton calls itself live and ready when a step has died.
HEALTHCHECK --interval=30s --timeout=25s --start-period=10m CMD ["python3", "/opt/alive.py"]
ENTRYPOINT ["sh", "/opt/serve_triton.sh"]
# As the chart has it, which gives its own.
CMD ["--model-repository=/models", "--disable-auto-complete-config", "--allow-gpu-metrics=false", \
     "--backend-config=python,shm-default-byte-size=33554432", \
     "--backend-config=python,shm-region-prefix-name=triton-embeddings-", \
     "--backend-config=python,stub-timeout-seconds=600"]
