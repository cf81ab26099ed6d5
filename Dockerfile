# The studio in a container, without a graphics card: docs/studio.md
FROM python:3.12 AS build
COPY . /source
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels /source

FROM python:3.12-slim
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu \
        "$(ls /wheels/filmcolor-*.whl)[studio]" \
    && install --directory --mode 1777 /films /state \
    && useradd --create-home filmcolor
ENV XDG_STATE_HOME=/state
USER filmcolor
VOLUME ["/films", "/state"]
EXPOSE 8517
CMD ["filmcolor", "studio", "--host", "0.0.0.0", "--port", "8517", "--no-browser", "--folder", "/films"]
