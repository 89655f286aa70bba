# `specs serve` for models on other servers.
FROM python:3.13-slim
COPY pyproject.toml README.md LICENSE constraints.txt /specs/
COPY src /specs/src
RUN pip install --no-cache-dir --constraint /specs/constraints.txt "/specs[serve]" && useradd --create-home specs \
  && install --directory --owner=specs --group=specs /home/specs/.cache/huggingface
USER specs
EXPOSE 8080
ENTRYPOINT ["specs"]
CMD ["serve", "--host", "0.0.0.0"]
