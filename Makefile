# Each target calls a script; `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

.PHONY: help
help: ## What there is to make
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '  %-20s %s\n' $$name "$$text"; done

.PHONY: demo
demo: ## From a fresh machine to the first finished actions
	@tests/cluster/demo.sh

.PHONY: cluster-up
cluster-up: ## Start a Kubernetes built from packages (needs root), or say that it is up
	@tests/cluster/up.sh

.PHONY: cluster-down
cluster-down: ## End that cluster and remove all it left
	@tests/cluster/down.sh

.PHONY: cluster-env
cluster-env: ## Print export lines for a shell, to be evaluated
	@tests/cluster/env.sh

.PHONY: images
images: ## Build the images and push them to the cluster's registry
	@images/build.sh

.PHONY: worker-tools
worker-tools: ## Build the image with deployment tools and push it to the cluster's registry
	@images/build.sh worker-tools

.PHONY: worker-tools-update
worker-tools-update: ## Lock the Debian packages that the mirror has today for that image
	@images/worker-tools/update.sh

.PHONY: test-images
test-images: ## Push the tests' images to the cluster's registries
	@images/test/push.sh

# Into somebody's own registry the tests' images go only when they are asked for by name.
.PHONY: deploy
deploy: images $(if $(filter current,$(LONGSHORE_CLUSTER)),,test-images) ## Install or upgrade Longshore in the cluster by helm
	@tests/cluster/deploy.sh

.PHONY: test
test: ## All tests, on a real cluster; ends with one line of counts
	@tests/suite.sh

.PHONY: check
check: ## Format, lints and unit tests in a minute, without a cluster
	@tests/check.sh

.PHONY: test-one
test-one: ## One test, and what it needs: T=a test's name, its path or a part of either
	@tests/one.sh "$(T)"

.PHONY: fuzz
fuzz: ## Send mutated resources to the running cluster: N=10000 SEED=1
	@tests/fuzz.sh "$(N)" "$(SEED)"

.PHONY: fuzz-masking
fuzz-masking: ## Look for a secret that the runner does not mask, without a cluster: N=1000000 SEED=1
	@tests/fuzz_masking.sh "$(N)" "$(SEED)"

.PHONY: faults
faults: ## Runs at most once, whatever goes wrong: N=10000 SEED=1, or SCHEDULE=... that was printed
	@tests/faults.sh "$(N)" "$(SEED)" "$(SCHEDULE)"

.PHONY: hostile
hostile: ## Scripts that attack, nodes that lie, neighbours that flood, on the running cluster: ONLY=storms
	@tests/hostile.sh "$(ONLY)"

.PHONY: lint
lint: ## Format, lints, licences, generated files, chart
	@tests/lint.sh

.PHONY: generate
generate: ## Write the CRD, the reference and the list of reasons from the code
	@tests/generate.sh

.PHONY: bench
bench: ## Measure actions against bare pods and Jobs, and the runner alone; WRITE=1 puts it into docs/understand/performance.md
	@tests/bench.sh

.PHONY: bench-archive
bench-archive: ## How fast logs are archived and read again, on this machine's disk, without a cluster
	@. tests/cluster/settings.sh; static_cargo bench --quiet --locked --bench archive

.PHONY: bench-cache
bench-cache: ## What the operator's cache of actions takes in memory, without a cluster
	@. tests/cluster/settings.sh; static_cargo bench --quiet --locked --profile dev --bench cache

.PHONY: bench-logs
bench-logs: ## Long logs on the running cluster: PARTS=long,script,stopped,crowd,echo SIZES='1Mi 10Mi' MIB=100 ACTIONS=200; WRITE=1 as for bench
	@tests/bench_logs.sh

.PHONY: bench-masking
bench-masking: ## How fast the runner masks, without a cluster
	@. tests/cluster/settings.sh; static_cargo bench --quiet --locked --profile "$${PROFILE:-release}" --bench masking

.PHONY: bench-plugin
bench-plugin: ## How soon the kubectl plugin answers, on the running cluster: ACTIONS=5000; WRITE=1 as for bench
	@tests/bench_plugin.sh

.PHONY: bench-scale
bench-scale: ## Many actions on a fake node of the running cluster: RATE=30 MINUTES=5 KEPT=1000 FINISHED=10000 ACTIVE=500 QUEUED=100 LARGEST=200 NEIGHBOURS=1000
	@tests/bench_scale.sh
