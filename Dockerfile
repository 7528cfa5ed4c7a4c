# The server: slim, without PyTorch, as a user without rights, on a root file system that may be read-only.
#
#   docker build -t podium .
#   docker run --read-only --cap-drop ALL -v ./models:/models:ro -p 50051:50051 -p 8002:8002 podium
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/podium
# What it depends on comes first: a change of the code does not fetch it again.
COPY pyproject.toml constraints.txt ./
COPY deploy/dependencies.py deploy/
RUN python deploy/dependencies.py pyproject.toml > requirements.txt \
    && /opt/podium/bin/pip install -c constraints.txt -r requirements.txt
COPY README.md LICENSE ./
COPY http2/ http2/
COPY measures/ measures/
COPY podium/ podium/
COPY protos/ protos/
COPY server/ server/
RUN /opt/podium/bin/pip install --no-deps . \
    && /opt/podium/bin/pip uninstall --yes pip setuptools

FROM python:3.11-slim-bookworm
COPY --from=build /opt/podium /opt/podium
RUN mkdir -p /models /state && chown 10001:10001 /state
ENV PATH=/opt/podium/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PODIUM_LISTEN__HOST=0.0.0.0 \
    PODIUM_STATE_DIR=/state
# Learned costs outlive a container only if this is a volume.
VOLUME /state
USER 10001:10001
EXPOSE 50051 8002
STOPSIGNAL SIGTERM
# gRPC's health service, without loading gRPC: the probe runs on the cores that rank.
HEALTHCHECK --interval=10s --timeout=2s --start-period=30s --retries=2 \
    CMD ["python", "-m", "podium.health", "--target", "127.0.0.1:50051"]
ENTRYPOINT ["podium"]
CMD ["serve", "--models", "/models"]
