# An exported repository: docker build --file docker/model.Dockerfile --tag models build/repositories/default
# The context is the repository, which the image has at /models: model.path of the chart is `models`.
# As an image volume it needs no base. To be copied within a pod it needs one that has `cp`:
# --build-arg BASE=docker.io/library/busybox:1.37
ARG BASE=scratch

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="triton-embeddings models" \
      org.opencontainers.image.description="An exported model repository for Triton" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# For any user to read, whatever the umask of the export was.
COPY --chmod=0755 . /models/
USER 10001:0
