# docker build -t blurgen .                          the generator: slim, no torch
# docker build -t blurgen-train --target trainer .   the generator and torch
# docker run --rm -v "$PWD:/data" blurgen make --source folder --root photos --n 1000 --out shards
FROM python:3.11-slim-bookworm AS generator
# opencv-contrib-python is the build with windows, so it links libGL and glib even though no window is opened.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/blurgen
COPY setup.cfg pyproject.toml constraints.txt README.md LICENSE ./
COPY blurgen blurgen
COPY cli cli
COPY recipes recipes
RUN pip install --no-cache-dir -c constraints.txt '.[coco]'
ENV BLURGEN_CACHE=/data/.blurgen-cache
WORKDIR /data
ENTRYPOINT ["blurgen"]
CMD ["--help"]

FROM generator AS trainer
RUN pip install --no-cache-dir -c /opt/blurgen/constraints.txt '/opt/blurgen[coco,train]'

# The last target is what a plain `docker build .` makes.
FROM generator
