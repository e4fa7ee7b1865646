# The command line and Python client, without a model: submit, wait, status, cancel.
#
#   docker build -f ops/docker/client.Dockerfile -t asrq-client .
#   docker run --rm -i -e ASRQ_REDIS_URL=redis://queue-host:6379/0 asrq-client submit - --wait < talk.mp3

ARG PYTHON=3.12

FROM python:${PYTHON}-slim-bookworm AS build
COPY pyproject.toml README.md LICENSE /src/
COPY jobs /src/jobs
COPY worker /src/worker
RUN python -m venv /opt/asrq && /opt/asrq/bin/pip install --no-cache-dir /src

FROM python:${PYTHON}-slim-bookworm
COPY --from=build /opt/asrq /opt/asrq
ENV PATH=/opt/asrq/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin asrq
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["asrq"]
CMD ["--help"]
