# hm3_jax without a GPU. From the top of the repository:
#
#   docker build --tag hm3_jax .
#   docker run --rm --volume "$PWD:/data" hm3_jax train --flagfile=stl \
#     --features=STORE --workdir=runs
#   docker run --rm --volume "$PWD:/data" --publish 127.0.0.1:8080:8080 hm3_jax \
#     serve --index=INDEX --host=0.0.0.0
#
# EXTRAS are those of pyproject.toml; extraction adds PyTorch, which is large:
#   docker build --tag hm3_jax --build-arg EXTRAS=analysis,extraction,hub,serving .
FROM python:3.12-slim-bookworm

ARG EXTRAS=analysis,hub,logging,qdrant,serving

WORKDIR /opt/hm3_jax
COPY pyproject.toml README.md ./
COPY configs configs
COPY hm3_jax hm3_jax
RUN pip install --no-cache-dir "/opt/hm3_jax[${EXTRAS}]"

# Files in /data belong to whoever runs it: docker run --user "$(id -u):$(id -g)".
RUN useradd --create-home --uid 1000 hm3 && mkdir /data && chown hm3 /data
USER 1000
WORKDIR /data
EXPOSE 8080
ENTRYPOINT ["hm3-jax"]
CMD ["--help"]
