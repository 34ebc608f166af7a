# The bot, or a worker: docs/operations.md tells how both are run. Secrets come at run time, none is in a layer.
FROM python:3.11.14-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# Where PyTorch offers its builds for the CPU, a tenth of the size; without it torch brings the libraries of CUDA along.
ARG PIP_EXTRA_INDEX_URL
WORKDIR /app
COPY requirements.txt .
RUN python -m venv /opt/venv && /opt/venv/bin/pip install -r requirements.txt
COPY . .
RUN /opt/venv/bin/python main.py weights vgg19 || echo "Without VGG19 the packaged encoder paints."

FROM python:3.11.14-slim-bookworm
RUN groupadd --gid 10001 painter \
    && useradd --uid 10001 --gid painter --no-create-home --shell /usr/sbin/nologin painter \
    && install --directory --owner=painter --group=painter --mode=700 /data
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 DATA_DIR=/data HOST=0.0.0.0 METRICS_PORT=9090
USER 10001:10001
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"METRICS_PORT\"]}/healthz', timeout=4)"]
ENTRYPOINT ["python", "main.py"]
CMD ["serve"]
