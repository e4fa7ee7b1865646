# A transcription host on a CPU, with the multilingual Whisper model `base` inside; also the reaper and the dashboard.
#
#   docker build -f ops/docker/worker-cpu.Dockerfile -t asrq-worker-cpu .
#   docker run --rm --read-only --tmpfs /tmp -v asrq-models:/models -v /spool \
#     -e ASRQ_REDIS_URL=redis://queue-host:6379/0 --stop-timeout 45 asrq-worker-cpu

ARG PYTHON=3.12

FROM python:${PYTHON}-slim-bookworm AS build
COPY pyproject.toml README.md LICENSE /src/
COPY jobs /src/jobs
COPY worker /src/worker
RUN python -m venv /opt/asrq && /opt/asrq/bin/pip install --no-cache-dir '/src[worker,base,dashboard,sentry]'

FROM python:${PYTHON}-slim-bookworm
COPY --from=build /opt/asrq /opt/asrq
COPY ops/docker/healthy.py /opt/asrq/healthy.py
ENV PATH=/opt/asrq/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    ASRQ_MODEL_DIR=/models HF_HOME=/models/hub ASRQ_SPOOL_DIR=/spool ASRQ_LOG_FORMAT=json
# /models outlives the container; /spool holds decoded audio (230 MB an hour of it) and may be lost at any time.
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin asrq \
 && install -d -o 10001 -g 10001 /models /spool
USER 10001:10001
WORKDIR /tmp
VOLUME ["/models", "/spool"]
# Longer than ASRQ_GRACE_S and what follows it: give `docker stop` at least 45 seconds.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=10s --start-period=120s --retries=3 \
  CMD ["python", "/opt/asrq/healthy.py", "worker"]
# The exec form, so that asrq itself is process 1 and gets SIGTERM.
ENTRYPOINT ["asrq"]
CMD ["worker"]
