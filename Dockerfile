# The program as an image: one stage builds, the other holds what runs. Which role a container plays is its command.
# Not built against a container engine where it was written: docs/deploy.md says what was checked instead.

FROM python:3.11.14-slim-bookworm AS builder
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements-build.lock requirements-run.lock ./
RUN python -m venv --without-pip /opt/venv
RUN python -m pip install --require-hashes -r requirements-build.lock
RUN python -m pip --python /opt/venv/bin/python install --require-hashes -r requirements-run.lock
COPY pyproject.toml README.md LICENSE ./
COPY domain ./domain
COPY adapters ./adapters
COPY projections ./projections
COPY sandbox ./sandbox
COPY streams ./streams
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir /dist .
RUN python -m pip --python /opt/venv/bin/python install --no-deps --no-index --find-links /dist zoho-gocardless

FROM python:3.11.14-slim-bookworm
# The ids are fixed, so that files of the host can be given to them.
RUN groupadd --gid 10001 zoho-gocardless \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin zoho-gocardless \
    && install --directory --owner 10001 --group 10001 --mode 0700 /data
COPY --from=builder /opt/venv /opt/venv
# Host and port are settings that every role serves health and metrics on; the health check below reads the same variable.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ZOHO_GOCARDLESS_CONFIG=/etc/zoho-gocardless/settings.toml \
    ZOHO_GOCARDLESS__GATEWAY__HOST=0.0.0.0 \
    ZOHO_GOCARDLESS__GATEWAY__PORT=8090
USER 10001:10001
WORKDIR /data
# For the embedded log and its store; on Kafka and PostgreSQL it stays empty.
VOLUME ["/data"]
EXPOSE 8090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --start-interval=2s --retries=4 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['ZOHO_GOCARDLESS__GATEWAY__PORT'] + '/health', timeout=4)"]
ENTRYPOINT ["zoho-gocardless"]
CMD ["run"]
