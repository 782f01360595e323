# The bundle in a container, for the CPU (target cpu, the default) or for CUDA (target cuda, with NVIDIA's runtime):
#   docker build -t one-shot-landmarks .
#   docker build -t one-shot-landmarks:cuda --target cuda .
#   docker run --rm -v "$PWD:/data" one-shot-landmarks inference --config_file /bundle/configs/inference.json \
#       --model_path model.pt --dataset_dir images --output_dir results
# PyTorch comes with its CUDA libraries unless TORCH_INDEX names an index of CPU builds (--build-arg TORCH_INDEX=...).
FROM python:3.11-slim AS base
ARG TORCH_INDEX=""
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /bundle
COPY requirements.txt requirements-sr.txt constraints.txt ./
RUN if [ -n "$TORCH_INDEX" ]; then \
        version=$(sed -n 's/^torch==//p' constraints.txt) \
        && vision=$(sed -n 's/^torchvision==//p' constraints.txt) \
        && pip install --index-url "$TORCH_INDEX" "torch==$version" "torchvision==$vision"; \
    fi \
    && pip install -r requirements.txt -r requirements-sr.txt -c constraints.txt
COPY LICENSE README.md pyproject.toml setup.py ./
COPY bundle bundle
COPY configs configs
COPY scripts scripts
COPY docs docs
# Not as root: results belong to the user who starts the container (--user "$(id -u):$(id -g)").
RUN pip install --no-deps . && useradd --create-home --uid 1000 landmarks
USER 1000
# Threads that wait for each other busily take many times as long where other programs use the same cores.
ENV HOME=/home/landmarks MPLCONFIGDIR=/tmp/matplotlib OMP_WAIT_POLICY=PASSIVE
WORKDIR /data
ENTRYPOINT ["python", "-m", "monai.bundle", "run"]

FROM base AS cuda
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

FROM base AS cpu
