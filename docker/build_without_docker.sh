#!/usr/bin/env bash
# Build and try the images where there is no Docker engine: on a Debian or Ubuntu machine, as root, without any image
# registry. debootstrap makes the base, buildah builds the Dockerfile on it without a container runtime (chroot
# isolation) and without a file system driver of the kernel (vfs storage).
#
#     apt-get install buildah debootstrap
#     docker/build_without_docker.sh [cpu] [gpu] > image.md        # cpu where nothing is given
#
# WORK (default: sifting-image in the folder of temporary files) keeps images and downloads for the next time; it needs
# 10 GB of disk for cpu, and 25 GB for gpu. SUITE (bookworm) and MIRROR are debootstrap's. The pip settings of this
# machine (`pip config list`) are lent to the build, and are not in the image.
#
# What is built is the last commit. The report on stdout is Markdown; what the tools say goes to stderr.
set -euo pipefail
cd "$(dirname "$0")/.."
work=${WORK:-${TMPDIR:-/tmp}/sifting-image}
suite=${SUITE:-bookworm}
mkdir -p "$work/tmp"
export TMPDIR=$work/tmp # of buildah, for its cache mounts, too
storage=(--root "$work/storage" --runroot "$work/run" --storage-driver vfs)

# A container holds a copy of its image.
trap 'buildah "${storage[@]}" rm --all > /dev/null' EXIT

base() {
    buildah "${storage[@]}" inspect --type image sifting-base > /dev/null 2>&1 && return
    local start=$SECONDS
    rm -rf "$work/root"
    debootstrap --variant=minbase --include=ca-certificates,python3-venv "$suite" "$work/root" ${MIRROR:+"$MIRROR"} >&2
    local container
    container=$(buildah "${storage[@]}" from scratch)
    buildah "${storage[@]}" add "$container" "$work/root" / >&2
    buildah "${storage[@]}" commit --rm "$container" sifting-base >&2
    rm -r "$work/root"
    printf 'The base took %d s.\n' $((SECONDS - start))
}

# Writes pip's settings as a file, and prints a --volume for each certificate of this machine that they name. Folders
# of packages on this machine are left out.
pip_settings() {
    python3 - "$work/pip.conf" <<'PYTHON'
import ast, pathlib, re, subprocess, sys

listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
settings = {}
for name, value in re.findall(r"^(?:global|:env:)\.\.?([\w-]+)=(.*)$", listed, re.MULTILINE):
    words = ast.literal_eval(value).split()
    if not name.endswith("cert"):
        words = [word for word in words if not word.startswith(("/", "file:"))]
    if words:
        settings.setdefault(name, " ".join(words))  # variables come first in the list, and win
for path in {value for name, value in settings.items() if name.endswith("cert")}:
    print(f"--volume={path}:{path}:ro")
lines = [f"{name} = {value}\n" for name, value in settings.items()]
pathlib.Path(sys.argv[1]).write_text("".join(["[global]\n", *lines]))
PYTHON
}

# What `docker build --build-arg VARIANT=$1` does.
build() {
    local volumes
    mapfile -t volumes < <(pip_settings)
    buildah "${storage[@]}" build --isolation chroot --file "$work/context/docker/Dockerfile" --tag "sifting:$1" \
        --build-arg BASE=localhost/sifting-base --build-arg VARIANT="$1" --build-arg REVISION="$revision" \
        --secret id=pip,src="$work/pip.conf" "${volumes[@]}" "$work/context" >&2
    rm "$work/pip.conf"
}

size() { buildah "${storage[@]}" images --format '{{.Size}}' "$1"; }

# run CONTAINER USER ARGUMENT ...: what `docker run --user USER IMAGE ARGUMENT ...` does, with a folder for results.
run() {
    local container=$1 user=$2 entrypoint
    shift 2
    entrypoint=$(buildah "${storage[@]}" inspect \
        --format '{{range .OCIv1.Config.Entrypoint}}{{println .}}{{end}}' "$container")
    mapfile -t entrypoint <<< "$entrypoint"
    buildah "${storage[@]}" run --isolation chroot --user "$user" --volume "$work/runs:/sifting/runs" "$container" -- \
        "${entrypoint[@]}" "$@"
}

# shown TITLE COMMAND ...: its output and seconds, as a section of the report.
shown() {
    local start=$SECONDS
    printf '\n### %s\n\n```\n' "$1"
    "${@:2}" 2>&1
    printf '```\n\nExit code 0 after %d s.\n' $((SECONDS - start))
}

revision=$(git rev-parse --short HEAD)
printf '# Images built and run without Docker\n\n'
# shellcheck disable=SC2016
printf 'By `docker/build_without_docker.sh %s` on %s: %s, Debian %s, revision %s, %d cores, %s GPU.\n' "$*" \
    "$(date -u +%F)" "$(buildah --version | cut -d' ' -f1-3)" "$suite" "$revision" "$(nproc)" \
    "$(find /dev -maxdepth 1 -name 'nvidia[0-9]*' | grep -c . || true)"
base
rm -rf "$work/context" && mkdir "$work/context"
git archive "$revision" | tar -x -C "$work/context"

for variant in "${@:-cpu}"; do
    start=$SECONDS
    build "$variant"
    seconds=$((SECONDS - start))
    container=$(buildah "${storage[@]}" from "sifting:$variant")
    # buildah 1.28 mounts the image's volumes and those of `run --volume` in any order, and one may hide the other.
    buildah "${storage[@]}" config --volume /sifting/runs- "$container"
    rm -rf "$work/runs" && install --directory --mode 1777 "$work/runs"
    printf '\n## sifting:%s\n\nBuilt in %d s; %s on disk, of which the base is %s.\n' "$variant" "$seconds" \
        "$(size "sifting:$variant")" "$(size sifting-base)"
    shown "docker run sifting:$variant" run "$container" 1000 --devices
    shown "docker run --volume ./runs:/sifting/runs sifting:$variant inputs/quickstart.in" \
        run "$container" 1000 inputs/quickstart.in
    # A user without a name in the image, as after `docker run --user "$(id -u)"`.
    other=(inputs/quickstart.in --set IO.save_dir=runs/other --set IMP.max_iterations=2)
    shown "docker run --user 12345:12345 --volume ./runs:/sifting/runs sifting:$variant ${other[*]}" \
        run "$container" 12345:12345 "${other[@]}"
    (cd "$work" && shown "ls -ln runs/*" ls -ln --time-style=+ runs/other runs/quickstart)
    buildah "${storage[@]}" rm "$container" > /dev/null
done
