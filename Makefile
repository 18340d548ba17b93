# Needs Go and make; `make race` needs a C compiler too, `make sdk` node and npm.
# Every other tool is built from the versions pinned in tools/buf/go.mod and
# tools/lint/go.mod.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

MODULES := proto pkg broker edge tools
TOOL_MODULES := tools/buf tools/lint
# Every package of the workspace, as a path: what the linters take.
PACKAGES := $(MODULES:%=./%/...)

VERSION ?= $(shell git describe --always --dirty 2>/dev/null || echo dev)
FUZZTIME ?= 10s
BENCH ?= .
SEEDS ?= 102
DAYS ?= 1
FIRST ?= 1

# No VCS stamp: a clone that belongs to somebody else would not build, and the
# version is linked in.
export GOFLAGS += -buildvcs=false

BUF = GOWORK=off go -C tools/buf tool buf
LINT = bin/tools/golangci-lint

##@ Use it

.PHONY: run
run: build ## Start broker and edge (and a simulated WeChat, unless WX_APPID is set)
	@CGO_ENABLED=0 go build -trimpath -o bin/ ./tools/run
	@exec bin/run # exec: what ends make ends all of it

.PHONY: build
build: ## Build bin/wxbroker, bin/wxedge and bin/wxsim
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/ ./broker/cmd/wxbroker ./edge/cmd/wxedge ./pkg/cmd/wxsim

##@ Test it

.PHONY: test
test: ## Run all Go tests (no C compiler needed)
	CGO_ENABLED=0 go test work

.PHONY: race
race: ## The same under the race detector (needs a C compiler)
	CGO_ENABLED=1 go test -race work

.PHONY: e2e
e2e: ## The tests that start the real binaries, uncached
	CGO_ENABLED=0 go test -count=1 ./tools/e2e/...

.PHONY: sdk
sdk: ## Other people's WeChat SDKs against a real edge, uncached (needs node and npm)
	@cd tools/sdk && npm ci --ignore-scripts --no-audit --no-fund
	WXBROKER_SDK=1 CGO_ENABLED=0 go test -count=1 ./tools/sdk

.PHONY: simulate
simulate: ## Simulate SEEDS (102) schedules of faults, each DAYS (1) virtual days, from seed FIRST (1)
	CGO_ENABLED=0 go test -count=1 -timeout 6h -v ./tools/simulation -seeds $(SEEDS) -days $(DAYS) -first $(FIRST) | grep -vE '^(=== |    --- PASS)'

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (10s) each
	@bash .ci/fuzz $(FUZZTIME)

.PHONY: bench
bench: ## Run the benchmarks that match BENCH (all)
	CGO_ENABLED=0 go test -run='^$$' -bench='$(BENCH)' -benchmem work

##@ Change it

.PHONY: generate
generate: ## Generate Go from proto/
	$(BUF) generate ../.. --template ../../buf.gen.yaml -o ../..

.PHONY: fmt
fmt: $(LINT) ## Format Go and proto files
	$(LINT) fmt $(PACKAGES)
	$(BUF) format -w ../..

.PHONY: tidy
tidy: ## Tidy every go.mod
	@for m in $(MODULES) $(TOOL_MODULES); do echo "tidy $$m"; GOWORK=off go -C $$m mod tidy; done

##@ Check it

# Cheap ones first. None of them changes a file of the tree.
.PHONY: check
check: hygiene proto-check tidy-check modules-check vet fmt-check lint deploy-check ## Everything below: what CI wants besides tests
	@echo "check: all good"

.PHONY: hygiene
hygiene: ## No machine paths, no unfinished marks, no sleeping tests
	@bash .ci/hygiene

.PHONY: proto-check
proto-check: ## proto/: generated code is current, lint, format, compatible with main
	@bash .ci/generated
	$(BUF) lint ../..
	$(BUF) format --diff --exit-code ../..
	@bash .ci/breaking

.PHONY: tidy-check
tidy-check: ## Every go.mod is tidy
	@status=0; for m in $(MODULES) $(TOOL_MODULES); do echo "tidy -diff $$m"; GOWORK=off go -C $$m mod tidy -diff || status=1; done; exit $$status

.PHONY: modules-check
modules-check: ## Every module builds on its own, without the workspace
	@for m in $(MODULES); do echo "build $$m"; GOWORK=off CGO_ENABLED=0 go -C $$m build ./...; done

.PHONY: vet
vet: ## go vet
	CGO_ENABLED=0 go vet work

.PHONY: fmt-check
fmt-check: $(LINT) ## Go files are formatted, imports grouped
	$(LINT) fmt --diff $(PACKAGES)

.PHONY: lint
lint: $(LINT) ## Run the linters of .golangci.yml
	@status=0; for m in $(MODULES); do echo "lint $$m"; (cd $$m && CGO_ENABLED=0 ../$(LINT) run ./...) || status=1; done; exit $$status

.PHONY: deploy-check
deploy-check: ## deploy/: manifests, example configurations, systemd units
	CGO_ENABLED=0 go test -count=1 ./tools/deploy/...
	@bash .ci/units

$(LINT): tools/lint/go.mod tools/lint/go.sum
	@mkdir -p $(@D)
	GOWORK=off CGO_ENABLED=0 go build -C tools/lint -trimpath -o ../../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@

##@ Else

.PHONY: clean
clean: ## Remove bin/ and what `make run` left in .run/
	rm -rf bin .run

.PHONY: help
help: ## Print this
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z0-9-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
