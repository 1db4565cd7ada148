# Two images from one build:
#
#     docker build --target gateway -t sluice-gateway .     api alone; nothing in it parses documents
#     docker build -t sluice .                              api and worker, with the document tools
#
# Both run as an ordinary user on a read-only root: DATA_DIR and /tmp are all they write to. Redis and PostgreSQL are elsewhere (compose.yaml).

FROM debian:12-slim AS build
WORKDIR /src
COPY .ci/deps .ci/deps
RUN .ci/deps run
COPY . .
RUN make -j"$(nproc)" programs && make install DESTDIR=/out PREFIX=/usr

FROM debian:12-slim AS gateway
LABEL org.opencontainers.image.title="Sluice" \
      org.opencontainers.image.description="A job-queue gateway on BullMQ's layout in Redis" \
      org.opencontainers.image.licenses="MIT"
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      ca-certificates libcivetweb1 libcurl4 libhiredis0.14 libjansson4 libjwt0 libpcre2-8-0 libpq5 libssl3 libvectorscan5 tini tzdata \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o 65532 -g 65532 -m 700 /var/lib/sluice
COPY --from=build /out/usr/bin/sluice /usr/bin/sluice
COPY --from=build /out/usr/share/doc/sluice /usr/share/doc/sluice
ENV HOST=0.0.0.0 PORT=3000 DATA_DIR=/var/lib/sluice LOG_FORMAT=json SLUICE_ROLE=api
USER 65532:65532
WORKDIR /var/lib/sluice
VOLUME /var/lib/sluice
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["/usr/bin/sluice", "healthcheck"]
# Tools of documents that outlive their parent are tini's to bury.
ENTRYPOINT ["/usr/bin/tini", "--", "/usr/bin/sluice"]
CMD ["serve"]

FROM gateway AS full
USER 0
RUN apt-get update \
 && apt-get install -y --no-install-recommends libarchive13 libmagic1 libseccomp2 libxml2 poppler-utils qpdf \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/usr/bin/sluice-helper /usr/bin/sluice-helper
ENV SLUICE_ROLE=all
USER 65532:65532
